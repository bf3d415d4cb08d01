"""What a partition's page shows of data: loaded batches, features, online/offline consistency, predictions."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from perennial.feature_store.publication import in_words
from perennial.quarantine import states
from perennial.quarantine.states import ItemState
from perennial.registry import mlflow_records
from perennial.use_case import UseCase

Row = Mapping[str, Any]
Own = Mapping[str, Sequence[Row]]


def batches(use_case: UseCase, own: Own) -> list[dict[str, Any]]:
    """The loaded batches, a row a raw table, each with the newest validation of that table.

    A table whose batch was rejected as a whole has a row too; `rejected` counts those batches by their state, without
    the superseded ones where a batch is loaded.

    Args:
        use_case: Whose.
        own: The partition's records by table.
    """
    judged = _newest(own["validations"], "table")
    refused: dict[str, Counter[ItemState]] = {}
    arrived = {row["table"]: row for row in own["batches"]}
    for (_, table, _), state in states.item_states(own).batches.items():
        refused.setdefault(table, Counter())[state] += 1
    raw = {table.name for table in use_case.raw}
    return [
        {
            "table": table,
            "rows": arrived.get(table, {}).get("rows"),
            "quarantined": arrived.get(table, {}).get("quarantined"),
            "released": arrived.get(table, {}).get("released"),
            "suite": arrived.get(table, judged.get(table, {})).get("suite"),
            "code_version": arrived.get(table, judged.get(table, {})).get("code_version"),
            "rejected": {
                state.label: count
                for state, count in refused.get(table, Counter()).items()
                if table not in arrived or state == ItemState.PENDING
            },
            "validation": judged.get(table),
        }
        for table in sorted((arrived.keys() | refused.keys()) & raw)
    ]


def features(use_case: UseCase, own: Own) -> list[dict[str, Any]]:
    """What was computed, a row a feature table and one for `examples`; those of which nothing is recorded are left out.

    Lakes from before there were `computations` have validations only.

    Args:
        use_case: Whose.
        own: The partition's records by table.
    """
    judged = _newest(own["validations"], "table")
    computed = {row["table"]: row for row in own["computations"]}
    tables = [*(table.name for table in use_case.features), "examples"]
    return [
        {
            "table": table,
            "rows": computed.get(table, judged.get(table, {})).get("rows"),
            "transform": computed.get(table, {}).get("transform"),
            "validation": judged.get(table),
        }
        for table in [*tables, *sorted(computed.keys() - {*tables})]
        if table in computed or table in judged
    ]


def parity(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Online/offline consistency: of each view the newest result, and how many there were before it."""
    newest = _newest(rows, "view")
    return [
        {
            **row,
            "evidence": [_difference(each) for each in json.loads(row["evidence"] or "[]")],
            "earlier": sum(each["view"] == view for each in rows) - 1,
        }
        for view, row in sorted(newest.items())
    ]


def _difference(row: Row) -> dict[str, str]:
    """A value that differs online from the lake, in words."""
    key = ", ".join(f"{name}={value}" for name, value in (row.get("key") or {}).items())
    rest = {name: value for name, value in row.items() if name != "key"}
    return {
        "key": key,
        **{name: value if isinstance(value, str) else json.dumps(value) for name, value in rest.items()},
    }


def scored(made: Iterable[Row]) -> list[dict[str, Any]]:
    """What scored the partition, with the lake's snapshots by table, the run's page in MLflow, and `way`, in words."""
    return [
        {
            **row,
            "way": _way(row),
            "snapshots": json.loads(row["lake_snapshots"] or "{}"),
            "run_page": mlflow_records.run_page(row["model_run"]),
        }
        for row in made
    ]


def _way(row: Row) -> str:
    """How predictions came to be, in words: `ahead, by 1 hour`, `on request (canary)`."""
    served_as, lead = row["served_as"], row["lead"]
    if served_as == "ahead":
        return f"ahead, by {in_words(lead)}" if lead is not None else "ahead"
    return _WAYS.get(served_as) or ("on request" if served_as == "champion" else f"on request ({served_as})")


def scored_by(made: Iterable[Row]) -> list[dict[str, int]]:
    """The versions that scored the partition, each once, with their predictions; most predictions first."""
    rows: Counter[int] = Counter()
    for row in made:
        rows[row["model_version"]] += row["rows"]
    return [{"version": version, "rows": count} for version, count in rows.most_common()]


def how_made(made: Iterable[Row]) -> list[str]:
    """How many predictions were made in which way, in words; empty where none was served before the partition ended."""
    rows: Counter[str] = Counter()
    for row in made:
        rows[_WAYS.get(row["served_as"], "on request")] += row["rows"]
    if rows.total() == rows["backfilled"]:
        return []
    return [f"{rows[way]:,} {way}" for way in ("on request", "ahead", "backfilled")]


#: Where it was not recorded, scoring was the only way.
_WAYS = {"ahead": "ahead", "backfilled": "backfilled", None: "backfilled"}


def _newest(rows: Iterable[Row], by: str) -> dict[str, Row]:
    """The newest row of each value of a column."""
    return {row[by]: row for row in sorted(rows, key=lambda row: row["recorded_at"])}
