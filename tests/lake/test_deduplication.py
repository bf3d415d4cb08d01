"""A finding is on record when something else was found last; never twice in a row."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from perennial.lake import deduplication

BEGINNING = datetime(2024, 1, 1, tzinfo=UTC)
Rows = list[float]


def finding(name: str, values: Rows, at: int) -> pa.Table:
    moment = pa.array([BEGINNING + timedelta(seconds=at)] * len(values), pa.timestamp("us", tz="UTC"))
    names = pa.array([name] * len(values), pa.string())
    return pa.table({"name": names, "value": pa.array(values, pa.float64()), "recorded_at": moment})


def recorded(findings: list[tuple[str, Rows]]) -> pa.Table:
    """What is on record after these were found, one after the other."""
    records = finding("", [], 0)
    for at, (name, values) in enumerate(findings):
        rows = finding(name, values, at)
        records = pa.concat_tables(
            [records, rows.filter(deduplication.find_changed(rows, records, ["name"], "recorded_at"))]
        )
    return records


names = st.sampled_from("ab")
values = st.lists(st.sampled_from([0.0, 1.0, float("nan"), None]), min_size=1, max_size=3)


@given(st.lists(st.tuples(names, values), max_size=10))
def test_the_record_is_what_was_found_without_repetitions(findings: list[tuple[str, Rows]]) -> None:
    records = recorded(findings)
    for name in "ab":
        contents = [(at, sorted(map(repr, rows))) for at, (of, rows) in enumerate(findings) if of == name]
        changes = [
            (at, rows) for place, (at, rows) in enumerate(contents) if not place or rows != contents[place - 1][1]
        ]
        kept: dict[int, list[str]] = {}
        for row in records.to_pylist():
            if row["name"] == name:
                kept.setdefault((row["recorded_at"] - BEGINNING).seconds, []).append(repr(row["value"]))
        assert [(at, sorted(rows)) for at, rows in sorted(kept.items())] == changes


@given(values, st.randoms())
def test_the_order_of_rows_makes_no_difference(rows: Rows, random) -> None:
    shuffled = random.sample(rows, len(rows))
    again = finding("a", shuffled, 1)
    assert not any(deduplication.find_changed(again, finding("a", rows, 0), ["name"], "recorded_at").to_pylist())
