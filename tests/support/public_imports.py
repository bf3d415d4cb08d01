"""What a file imports of `perennial` beyond its public names."""

from __future__ import annotations

import ast
from pathlib import Path

import perennial


def beyond_public(file: Path) -> set[str]:
    """The names and modules that `file` imports of Perennial and that `perennial.__all__` does not offer."""
    imported: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "perennial":
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("perennial."):
            imported.add(str(node.module).removeprefix("perennial."))
        elif isinstance(node, ast.Import):
            imported |= {alias.name.removeprefix("perennial.") for alias in node.names if "perennial." in alias.name}
    return imported - set(perennial.__all__)
