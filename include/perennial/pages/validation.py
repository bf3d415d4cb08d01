"""The page of a validation run: every expectation of every table, its parameters and its result."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import HTMLResponse

from perennial.pages.access import PartitionDep, UseCaseDep
from perennial.pages.layout import page
from perennial.use_case import UseCase
from perennial.validation import results

router = APIRouter()

_SEVERITIES = ("critical", "warning", "info")
#: What names the subject of an expectation, and is not one of its parameters.
_SUBJECT = ("column", "column_A", "column_B", "column_list", "batch_id")
#: What is shown of a result at once; the rest can be unfolded.
_SHOWN = (
    ("observed_value", "observed"),
    ("unexpected_count", "unexpected"),
    ("missing_count", "missing"),
    ("partial_unexpected_list", "examples"),
    ("partial_missing_list", "missing values"),
)


@router.get("/validations/{use_case}/{partition}")
@router.get("/validations/{use_case}/{partition}/{validation}")
def show(
    request: Request, use_case: UseCaseDep, partition: PartitionDep, validation: str | None = None
) -> HTMLResponse:
    """The results of Great Expectations for a partition: of one run, or of the one that tells its current state.

    Args:
        request: Tells who asks, and where Airflow is mounted.
        use_case: Whose.
        partition: Which.
        validation: Which run; None: of the newest of each table one that failed, else the newest.

    Raises:
        HTTPException: 404, there is no such run.
    """
    rows = results.of_partition(use_case, partition)
    try:
        return page(request, "validation", **view(use_case, partition.key, rows, validation))
    except LookupError as error:
        raise HTTPException(404, str(error)) from error


def view(use_case: UseCase, partition: str, rows: Sequence[dict[str, Any]], validation: str | None) -> dict[str, Any]:
    """What the page of one run shows.

    Args:
        use_case: Whose partition it is.
        partition: Its name.
        rows: All results of the partition, newest first, as `results.of_partition` returns them.
        validation: Which run; None: see `_telling`.

    Raises:
        LookupError: there is none of that name, or none at all.
    """
    runs = list(dict.fromkeys(row["validation"] for row in rows))
    newest = _newest_of_tables(rows)
    shown = validation or _telling(newest)
    if shown not in runs:
        raise LookupError(f"No validation {validation or ''} of {use_case.name} {partition} is kept.")
    return {
        "use_case": use_case,
        "partition": partition,
        "validation": shown,
        "tables": [_table(row) for row in _of_run(rows, shown)],
        "is_current": any(row["validation"] == shown for row in newest),
        "current": [_run(rows, name) for name in dict.fromkeys(row["validation"] for row in newest)],
        "others": [_run(rows, name) for name in runs],
    }


def _newest_of_tables(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The newest result of each table, newest first: together they are the partition's current state."""
    newest: dict[str, dict[str, Any]] = {}
    for row in rows:
        newest.setdefault(row["table"], row)
    return list(newest.values())


def _telling(newest: Sequence[dict[str, Any]]) -> str | None:
    """The run to open: of the newest of each table one that failed, critically before otherwise, else the newest.

    Raw tables and feature tables are validated by different tasks: the newest run alone may have passed while rows, or
    a whole batch, were rejected by the one before it.
    """
    failed = [row for row in newest if not row["success"]]
    critical = [row for row in failed if any(_is_critical(result) for result in row["result"]["results"])]
    return next((row["validation"] for row in (*critical, *failed, *newest)), None)


def _is_critical(result: dict[str, Any]) -> bool:
    return not result["success"] and _severity(result) == "critical"


def _of_run(rows: Sequence[dict[str, Any]], validation: str | None) -> list[dict[str, Any]]:
    """The results of a run, one a table: the newest where equal ones were recorded several times."""
    return _newest_of_tables([row for row in rows if row["validation"] == validation])


def _run(rows: Sequence[dict[str, Any]], validation: str) -> dict[str, Any]:
    of_run = _of_run(rows, validation)
    return {
        "validation": validation,
        "recorded_at": max(row["recorded_at"] for row in of_run),
        "tables": ", ".join(row["table"] for row in of_run),
        "success": all(row["success"] for row in of_run),
    }


def _table(row: dict[str, Any]) -> dict[str, Any]:
    expectations = [_expectation(result) for result in row["result"]["results"]]
    # Failed ones first, the most severe on top; then in the order of the suite.
    expectations.sort(key=lambda each: (each["success"], _SEVERITIES.index(each["severity"])))
    passed = sum(each["success"] for each in expectations)
    return {**row, "expectations": expectations, "passed": passed, "failed": len(expectations) - passed}


def _expectation(result: dict[str, Any]) -> dict[str, Any]:
    configuration = result["expectation_config"]
    kwargs = configuration["kwargs"]
    pair = [kwargs[end] for end in ("column_A", "column_B") if end in kwargs]
    return {
        "success": bool(result["success"]),
        "severity": _severity(result),
        "subject": kwargs.get("column") or ", ".join(kwargs.get("column_list") or pair) or "the table",
        "description": configuration.get("description")
        or configuration["type"].removeprefix("expect_").replace("_", " "),
        "parameters": {
            name: _short(value) for name, value in kwargs.items() if name not in _SUBJECT and value is not None
        },
        "result": _result(result["result"]),
        "raw": json.dumps(result, indent=2, ensure_ascii=False, default=str),
    }


def _severity(result: dict[str, Any]) -> str:
    severity = result["expectation_config"].get("severity")
    return severity if severity in _SEVERITIES else "critical"


def _result(result: dict[str, Any]) -> dict[str, str]:
    shown = {label: result[name] for name, label in _SHOWN if result.get(name) not in (None, [], {})}
    if isinstance(examples := shown.get("examples"), list) and all(each is None for each in examples):
        del shown["examples"]  # A list of nulls shows nothing.
    share = result.get("unexpected_percent")
    if shown.get("unexpected") and share is not None:
        shown["unexpected"] = f"{shown['unexpected']:,} ({share:.3g}%)"
    return {label: _short(value) for label, value in shown.items()}


def _short(value: Any) -> str:
    """A value in a table's cell."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 200 else f"{text[:200]}…"
