"""Where the rows of a training came from: lake tables in their snapshots, batches, transforms, validations."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import Any

from perennial import lake
from perennial.dossier.documents import Training
from perennial.dossier.records import Records, Row
from perennial.registry import mlflow_artifacts

_Window = tuple[str, str]
_NO_PARAMETERS = {"batch_id", "column"}


def gather(records: Records, training: Training) -> dict[str, Any]:
    """The data of a training, by document; of what is not recorded there is none.

    Args:
        records: Where what is missing is listed.
        training: Of the version.
    """
    plan, data = training.document(mlflow_artifacts.PLAN), training.document(mlflow_artifacts.TRAINING_SET)
    found: dict[str, Any] = {}
    if data.get("snapshots"):
        found["tables"] = [_table(records, name, number, plan) for name, number in sorted(data["snapshots"].items())]
    started = training.run.started if training.run else None
    if plan.get("first") and plan.get("last") and started is not None:
        window = plan["first"], plan["last"]
        tables = records.use_case.tables
        for name, table in (("batches", tables.batches), ("computations", tables.computations)):
            rows = _then(table, window, started)
            if rows is None:
                records.miss(f"{name} of the window", f"the lake has no snapshot of {table} from before the training")
            else:
                found[name] = rows
        found["validations"] = _validations(records, window, started)
    return found


def _table(records: Records, name: str, number: int, plan: dict[str, Any]) -> dict[str, Any]:
    """A table in the snapshot that was read: when it was committed, and its rows up to the end of the window."""
    counts = lake.row_counts(name, number)
    committed: datetime | None = None
    if counts is None:
        records.miss(f"rows of {name}", f"the lake no longer has its snapshot {number}")
    else:
        table = lake.table(name)
        snapshot = table.snapshot_by_id(number) if table is not None else None
        committed = datetime.fromtimestamp(snapshot.timestamp_ms / 1000, UTC) if snapshot is not None else None
    last = plan.get("last")
    inside = {key: rows for key, rows in (counts or {}).items() if last is None or key <= last}
    return {"table": name, "snapshot": str(number), "committed": committed, "rows_by_partition": inside}


def _then(table: str, window: _Window, moment: datetime) -> list[Row] | None:
    """The rows of a table that is replaced by partition, as it was when the training began; None: not known."""
    snapshot = lake.snapshot_at(table, moment)
    if snapshot is None:
        return None
    rows = lake.records(table, between=window, snapshot=snapshot)
    return sorted(rows, key=lambda row: (row[lake.PARTITION], row["table"]))


def _validations(records: Records, window: _Window, started: datetime) -> list[Row]:
    """Of each table and partition the newest result before the training, without the values that it quotes."""
    rows = records.rows(
        records.use_case.tables.validations, lambda row: row[lake.RECORDED_AT] <= started, window, is_seen=False
    )
    newest = {(row[lake.PARTITION], row["table"]): row for row in rows}
    return [_summary(records.seen(newest[key])) for key in sorted(newest)]


def _summary(row: Row) -> Row:
    result = row.pop("result")
    try:
        expectations = [_expectation(each) for each in json.loads(result)["results"]]
    except (ValueError, KeyError, TypeError, AttributeError):
        expectations = []
    return row | {"expectations": expectations, "result_sha256": hashlib.sha256(str(result).encode()).hexdigest()}


def _expectation(result: dict[str, Any]) -> dict[str, Any]:
    config, measured = result["expectation_config"], result.get("result") or {}
    counts = {name: measured[name] for name in ("element_count", "unexpected_count") if name in measured}
    kwargs = config.get("kwargs") or {}
    return {
        "expectation": config["type"],
        "column": kwargs.get("column"),
        "parameters": {
            name: value for name, value in kwargs.items() if name not in _NO_PARAMETERS and value is not None
        },
        "severity": config.get("severity"),
        "success": result["success"],
        **counts,
    }
