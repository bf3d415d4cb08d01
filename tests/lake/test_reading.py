"""Reads of a real Iceberg catalog in PostgreSQL."""

from __future__ import annotations

from itertools import count

import pyarrow as pa
import pytest

from perennial import lake

pytestmark = pytest.mark.usefixtures("home")


_names = count()


@pytest.fixture
def identifier() -> str:
    return f"lake_reading_test.t{next(_names)}"


def rows(**columns: list) -> pa.Table:
    return pa.table(columns)


def test_a_table_never_written_reads_as_none(identifier: str) -> None:
    assert lake.read(identifier) is None
    assert lake.snapshot(identifier) is None


def test_an_older_snapshot_keeps_the_type_before_promotion(identifier: str) -> None:
    before = lake.replace(identifier, "2013-01", pa.table({"value": pa.array([1], pa.int32())}))
    lake.replace(identifier, "2013-02", rows(value=[2**40]))
    assert lake.read(identifier, snapshot=before)["value"].equals(pa.chunked_array([pa.array([1], pa.int32())]))


def test_rows_from_before_a_promotion_are_found_by_their_value(identifier: str) -> None:
    lake.replace(identifier, "2013-01", pa.table({"value": pa.array([1, 2], pa.int32())}))
    lake.replace(identifier, "2013-02", rows(value=[2**40]))
    matching = lake.read(identifier, where=lake.equals("value", 2))
    assert matching["partition"].to_pylist() == ["2013-01"]


def test_an_older_snapshot_still_reads_as_it_was(identifier: str) -> None:
    before = lake.replace(identifier, "2013-01", rows(id=[1]))
    lake.replace(identifier, "2013-01", rows(id=[2]))
    assert lake.read(identifier, snapshot=before)["id"].to_pylist() == [1]
