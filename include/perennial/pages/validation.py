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
    """The results of Great Expectations for a partition: of one run, or of the newest.

    Args:
        request: Tells who asks, and where Airflow is mounted.
        use_case: Whose.
        partition: Which.
        validation: Which run; None: the newest.

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
        validation: Which run; None is the newest.

    Raises:
        LookupError: there is none of that name, or none at all.
    """
    runs = list(dict.fromkeys(row["validation"] for row in rows))
    shown = validation or (runs[0] if runs else None)
    if shown not in runs:
        raise LookupError(f"No validation {validation or ''} of {use_case.name} {partition} is kept.")
    return {
        "use_case": use_case,
        "partition": partition,
        "validation": shown,
        "tables": [_table(row) for row in rows if row["validation"] == shown],
        "others": [_run(rows, name) for name in runs],
    }


def _run(rows: Sequence[dict[str, Any]], validation: str) -> dict[str, Any]:
    of_run = [row for row in rows if row["validation"] == validation]
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
    severity = configuration.get("severity") or "critical"
    return {
        "success": bool(result["success"]),
        "severity": severity if severity in _SEVERITIES else "critical",
        "subject": kwargs.get("column") or ", ".join(kwargs.get("column_list") or pair) or "the table",
        "description": configuration.get("description")
        or configuration["type"].removeprefix("expect_").replace("_", " "),
        "parameters": {
            name: _short(value) for name, value in kwargs.items() if name not in _SUBJECT and value is not None
        },
        "result": _result(result["result"]),
        "raw": json.dumps(result, indent=2, ensure_ascii=False, default=str),
    }


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
