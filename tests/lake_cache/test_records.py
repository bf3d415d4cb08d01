"""Records read through the cache equal those that pyiceberg reads."""

from __future__ import annotations

import math
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from pathlib import Path

import pyarrow as pa
import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial import lake, lake_cache
from perennial.errors import DamagedFile, PerennialError, ServiceUnavailable
from perennial.lake_cache import iceberg
from perennial.settings import settings as perennial_settings

pytestmark = pytest.mark.usefixtures("home")
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
_numbers = count()

VALUES = st.fixed_dictionaries(
    {
        "number": st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)),
        "share": st.one_of(st.none(), st.floats(allow_nan=False)),
        "text": st.one_of(st.none(), st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))),
        "known": st.one_of(st.none(), st.booleans()),
        "at": st.one_of(st.none(), st.integers(0, 10**12).map(lambda us: NOON + timedelta(microseconds=us))),
    }
)
SCHEMA = pa.schema(
    {
        "number": pa.int64(),
        "share": pa.float64(),
        "text": pa.string(),
        "known": pa.bool_(),
        "at": pa.timestamp("us", tz="UTC"),
    }
)


def new_table() -> str:
    return f"cached.t{next(_numbers)}"


def both(identifier: str) -> tuple[list[dict], list[dict]]:
    """The table's rows through the cache and through pyiceberg, in one order."""
    ways = lake_cache.records([identifier])[identifier], lake.records(identifier)
    return tuple(sorted(rows, key=repr) for rows in ways)  # type: ignore[return-value]


def test_a_table_that_does_not_exist_has_no_rows() -> None:
    assert lake_cache.records(["cached.nothing"]) == {"cached.nothing": []}


@settings(max_examples=examples(10), deadline=None)
@given(batches=st.lists(st.tuples(st.sampled_from("ab"), st.lists(VALUES, max_size=4)), min_size=1, max_size=4))
def test_after_any_replacements_both_give_the_same_rows(batches: list[tuple[str, list[dict]]]) -> None:
    table = new_table()
    for partition, rows in batches:
        lake.replace(table, partition, pa.Table.from_pylist(rows, schema=SCHEMA))
    cached, from_lake = both(table)
    assert cached == from_lake


def test_a_column_that_came_later_is_null_in_older_rows() -> None:
    table = new_table()
    lake.append_missing(table, pa.table({"partition": ["a"], "id": [1]}), key=["id"])
    lake.append_missing(table, pa.table({"partition": ["a"], "id": [2], "share": [0.5]}), key=["id"])
    cached, from_lake = both(table)
    assert cached == from_lake
    assert {row["id"]: row["share"] for row in cached} == {1: None, 2: 0.5}


@pytest.mark.parametrize("partition", ["2024-01-01", "2013", "2024-01-01T05", "true"])
def test_a_partition_is_text_whatever_it_looks_like(partition: str) -> None:
    table = new_table()
    lake.replace(table, partition, pa.table({"id": [1]}))
    cached, from_lake = both(table)
    assert cached == from_lake == [{"partition": partition, "id": 1}]


def test_nan_is_not_null() -> None:
    table = new_table()
    lake.replace(table, "a", pa.table({"share": [math.nan, None]}))
    shares = {repr(row["share"]) for row in lake_cache.records([table])[table]}
    assert shares == {"nan", "None"}


FEW = ("number", "known")


def test_only_requested_columns_are_read_missing_ones_as_null() -> None:
    table = new_table()
    lake.replace(table, "a", pa.table({"number": [1], "text": ["long"]}))
    assert lake_cache.records([table], {table: FEW})[table] == [{"number": 1, "known": None}]


def test_so_they_are_of_a_lake_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    table = new_table()
    lake.replace(table, "a", pa.table({"number": [1], "text": ["long"]}))
    monkeypatch.setattr(iceberg, "_local", lambda location: (_ for _ in ()).throw(iceberg.UnsupportedTableError))
    assert lake_cache.records([table, "a.b"], {table: FEW, "a.b": FEW}) == {
        table: [{"number": 1, "known": None}],
        "a.b": [],
    }


def test_a_lake_elsewhere_is_read_through_its_catalog(monkeypatch: pytest.MonkeyPatch) -> None:
    table = new_table()
    lake.replace(table, "a", pa.table({"id": [1, 2]}))
    monkeypatch.setattr(iceberg, "_local", lambda location: (_ for _ in ()).throw(iceberg.UnsupportedTableError))
    cached, from_lake = both(table)
    assert cached == from_lake
    assert len(cached) == 2


def test_a_database_that_is_not_there_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERENNIAL_HOME", str(tmp_path))
    perennial_settings.cache_clear()
    try:
        with pytest.raises(ServiceUnavailable, match="perennial up"):
            lake_cache.records(["flights.ledger"])
    finally:
        monkeypatch.undo()
        perennial_settings.cache_clear()


def test_reading_through_the_cache_imports_nothing_heavy() -> None:
    heavy = "{'pyiceberg', 'sqlalchemy', 'pandas', 'pyarrow', 'httpx', 'feast'}"
    check = (
        f"import sys; from perennial import lake_cache; lake_cache.records(['a.b']); print({heavy} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_a_file_that_may_not_be_read_is_not_called_damaged(tmp_path: Path) -> None:
    def forbidden(file: Path) -> None:
        raise PermissionError(13, "Permission denied", str(file))

    with pytest.raises(PerennialError, match="may not be read") as failed:
        iceberg._read(tmp_path / "1.metadata.json", forbidden)
    assert not isinstance(failed.value, DamagedFile)
    with pytest.raises(DamagedFile):
        iceberg._read(tmp_path / "1.metadata.json", Path.read_text)


def test_rows_before_a_promotion_read_as_in_the_lake() -> None:
    table = new_table()
    narrow = {"number": pa.array([1], pa.int32()), "share": pa.array([0.1], pa.float32()), "cost": [Decimal("1.50")]}
    lake.replace(table, "a", pa.table(narrow))
    before, _ = both(table)
    lake.replace(table, "b", pa.table({"number": [2**40], "share": [0.1], "cost": [Decimal("123456.75")]}))
    cached, from_lake = both(table)
    assert cached == from_lake
    assert len(cached) == 2
    assert before[0] in cached
