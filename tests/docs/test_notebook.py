"""The notebook of the documentation runs from its first cell to its last, on a use case that went through its loop."""

from __future__ import annotations

import ast
import json
from typing import Any

import pytest
from fenced import ROOT
from pipelines import run_loop_until

from perennial.use_case import UseCase

NOTEBOOK = ROOT / "docs/notebook.ipynb"
#: Where the notebook speaks of months of flights, the test has days of meters.
INSTEAD = 'USE_CASE, FIRST, LAST = "energy", "2024-01-01", "2024-01-03"'


def cells() -> list[str]:
    """The code of each code cell."""
    notebook = json.loads(NOTEBOOK.read_text())
    return ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]


def run_cell(source: str, namespace: dict[str, Any]) -> Any:
    """Run a cell as Jupyter does; the value of its last expression."""
    *body, last = ast.parse(source).body
    shown = last if isinstance(last, ast.Expr) else None
    exec(compile(ast.Module(body if shown else [*body, last], []), str(NOTEBOOK), "exec"), namespace)  # noqa: S102
    return eval(compile(ast.Expression(shown.value), str(NOTEBOOK), "eval"), namespace) if shown else None  # noqa: S307


@pytest.mark.usefixtures("project", "mlflow_server")
def test_the_notebook_runs_from_top_to_bottom(energy: UseCase) -> None:
    run_loop_until(energy, "2024-01-05")
    first, *rest = cells()
    declaration = next(line for line in first.splitlines() if line.startswith("USE_CASE"))
    namespace: dict[str, Any] = {}
    run_cell(first.replace(declaration, INSTEAD), namespace)
    shown = [run_cell(source, namespace) for source in rest]
    assert all(value is not None for value in shown)
    assert len(shown[0]) == 5, "a row a partition"
    assert shown[-1]["partition"].to_list() == ["2024-01-04", "2024-01-05"]


def test_the_notebook_is_kept_without_results() -> None:
    notebook = json.loads(NOTEBOOK.read_text())
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in notebook["cells"])
