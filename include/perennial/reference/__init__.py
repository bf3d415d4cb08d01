"""The pages of docs/ that are written from the code, so that they cannot drift from it: `make docs`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path


def pages() -> dict[str, Callable[[], str]]:
    """File in docs/ -> what writes it."""
    from perennial.cli import reference as cli
    from perennial.reference import fields, python_api, rest, tables

    return {
        "cli.md": cli.markdown,
        "settings.md": fields.settings,
        "use_case_fields.md": fields.use_case,
        "rest.md": rest.markdown,
        "tables.md": tables.markdown,
        "python_api.md": python_api.markdown,
    }


def write(folder: Path) -> None:
    """Write every page into `folder`."""
    for name, page in pages().items():
        (folder / name).write_text(page())
