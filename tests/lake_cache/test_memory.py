"""The cache of small tables is never stale, may be lost at any time, and stays within its limit."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import pyarrow as pa
import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial import lake, lake_cache
from perennial.errors import DamagedFile
from perennial.lake_cache import iceberg, memory, on_disk

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
_numbers = count()


@pytest.fixture(autouse=True)
def empty_cache(home: Path) -> Iterator[None]:
    """Each test begins as a new process on a new installation."""
    memory.clear()
    (home / "lake_cache.db").unlink(missing_ok=True)
    yield
    memory.clear()


@pytest.fixture
def table() -> str:
    """A table of two partitions, each of two rows."""
    name = f"kept{next(_numbers)}.metrics"
    for partition in "ab":
        lake.replace(
            name, partition, pa.table({"number": [1, 2], "at": pa.array([NOON, None], pa.timestamp("us", "UTC"))})
        )
    return name


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The data files that are read from now on."""
    files: list[str] = []
    rows = iceberg.rows

    def counting(some: list[str], columns: list[str]) -> dict[str, list[iceberg.Row]]:
        files.extend(some)
        return rows(some, columns)

    monkeypatch.setattr(iceberg, "rows", counting)
    return files


def numbers(table: str) -> list[tuple[str, int]]:
    return sorted((row["partition"], row["number"]) for row in lake_cache.records([table])[table])


def test_what_has_not_changed_is_not_read_again(table: str, read: list[str]) -> None:
    assert lake_cache.records([table]) == lake_cache.records([table])
    assert len(read) == 2


def test_after_a_commit_only_its_files_are_read(table: str, read: list[str]) -> None:
    lake_cache.records([table])
    read.clear()
    lake.replace(table, "b", pa.table({"number": [7]}))
    assert numbers(table) == [("a", 1), ("a", 2), ("b", 7)]
    assert len(read) == 1


operations = st.lists(
    st.tuples(
        st.sampled_from(["replace", "append", "read", "restart", "lose"]), st.sampled_from("ab"), st.integers(0, 3)
    ),
    min_size=1,
    max_size=8,
)


@settings(max_examples=examples(15), deadline=None)
@given(operations)
def test_whatever_happens_the_answer_is_that_of_the_lake(done: list[tuple[str, str, int]]) -> None:
    table = f"kept{next(_numbers)}.metrics"
    for action, partition, number in done:
        rows = pa.table({"partition": [partition] * number, "number": pa.array(range(number), pa.int64())})
        match action:
            case "replace":
                lake.replace(table, partition, rows)
            case "append":
                lake.append_missing(table, rows, key=["number"])
            case "restart":
                memory.clear()
            case "lose":
                memory.clear()
                (Path(os.environ["PERENNIAL_HOME"]) / "lake_cache.db").unlink(missing_ok=True)
        ours = sorted(lake_cache.records([table])[table], key=repr)
        assert ours == sorted(lake.records(table), key=repr)


def test_a_new_process_reads_the_file_of_another(table: str, read: list[str]) -> None:
    before = lake_cache.records([table])
    memory.clear()
    read.clear()
    assert lake_cache.records([table]) == before
    assert read == []


def test_a_new_process_reads_only_what_came_since(table: str, read: list[str]) -> None:
    lake_cache.records([table])
    memory.clear()
    lake.replace(table, "c", pa.table({"number": [9]}))
    read.clear()
    assert numbers(table)[-1] == ("c", 9)
    assert len(read) == 1


def test_a_table_with_another_column_is_read_again(table: str) -> None:
    lake_cache.records([table])
    lake.append_missing(table, pa.table({"partition": ["a"], "number": [3], "share": [0.5]}), key=["number"])
    assert {row["number"]: row["share"] for row in lake_cache.records([table])[table]} == {1: None, 2: None, 3: 0.5}


def test_each_choice_of_columns_is_cached_by_itself(table: str) -> None:
    assert set(lake_cache.records([table], {table: ["number"]})[table][0]) == {"number"}
    assert set(lake_cache.records([table])[table][0]) == {"partition", "number", "at"}


def test_changing_a_returned_row_does_not_change_the_cache(table: str) -> None:
    for row in lake_cache.records([table])[table]:
        row["number"] = -1
    assert {number for _, number in numbers(table)} == {1, 2}


def test_a_stamp_changes_with_every_commit_and_with_nothing_else(table: str) -> None:
    before = lake_cache.metadata_locations([table, "kept.nothing"])
    assert lake_cache.metadata_locations([table]) == before
    lake.replace(table, "b", pa.table({"number": [7]}))
    assert lake_cache.metadata_locations([table]) != before


def test_same_named_tables_of_other_types_are_read_apart() -> None:
    numbers, words = f"kept{next(_numbers)}.readings", f"kept{next(_numbers)}.readings"
    lake.replace(numbers, "a", pa.table({"value": [1]}))
    lake.replace(words, "a", pa.table({"value": ["one"]}))
    records = lake_cache.records([numbers, words])
    assert [records[name][0]["value"] for name in (numbers, words)] == [1, "one"]


def test_a_file_that_is_no_database_is_created_again(table: str, home: Path) -> None:
    (home / "lake_cache.db").write_text("not a database, and longer than its header would be" * 20)
    assert len(numbers(table)) == 4
    memory.clear()
    assert len(numbers(table)) == 4
    with sqlite3.connect(home / "lake_cache.db") as connection:
        assert connection.execute("SELECT count(*) FROM tables").fetchone() == (1,)


def test_a_file_of_another_version_is_emptied(table: str, home: Path, read: list[str]) -> None:
    lake_cache.records([table])
    with sqlite3.connect(home / "lake_cache.db") as connection:
        connection.execute("PRAGMA user_version = 99")
    memory.clear()
    read.clear()
    assert len(numbers(table)) == 4
    assert len(read) == 2


def test_where_nothing_can_be_written_nothing_is_missing(table: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise sqlite3.OperationalError("attempt to write a readonly database")

    monkeypatch.setattr(sqlite3, "connect", refuse)
    assert len(numbers(table)) == 4


def test_only_the_owner_may_read_the_file(table: str, home: Path) -> None:
    lake_cache.records([table])
    assert (home / "lake_cache.db").stat().st_mode & 0o077 == 0


def test_values_survive_the_file() -> None:
    table = f"kept{next(_numbers)}.metrics"
    rows = {
        "share": [0.1, float("inf"), None],
        "text": ['"\u2028é', "", None],
        "flag": [True, False, None],
        "number": [2**62, 1, None],
    }
    lake.replace(table, "a", pa.table(rows))
    before = lake_cache.records([table])
    memory.clear()
    assert lake_cache.records([table]) == before


def test_tables_asked_for_longest_ago_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"kept{next(_numbers)}.metrics" for _ in range(3)]
    for name in names:
        lake.replace(name, "a", pa.table({"text": ["x" * 1000]}))
    monkeypatch.setattr(memory, "LIMIT", 3000)
    monkeypatch.setattr(memory, "_LARGEST", 3000)
    for name in names:
        assert lake_cache.records([name])[name]
    assert [name for name, _ in memory._cached] == names[1:2] + names[2:]
    assert sum(table.size for table in memory._cached.values()) <= 3000


def test_a_large_table_is_read_each_time(table: str, read: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_LARGEST", 10)
    assert lake_cache.records([table]) == lake_cache.records([table])
    assert len(read) == 4
    assert not on_disk.load([(table, ())])


def test_threads_that_ask_at_once_read_once(table: str, read: list[str]) -> None:
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: numbers(table), range(16)))
    assert {tuple(records) for records in answers} == {(("a", 1), ("a", 2), ("b", 1), ("b", 2))}
    assert len(read) == 2


def test_a_damaged_file_is_named(table: str, home: Path) -> None:
    (file, *_) = sorted((home / "lake" / table.replace(".", "/") / "data").rglob("*.parquet"))
    file.write_bytes(b"no parquet")
    with pytest.raises(DamagedFile, match=file.name):
        lake_cache.records([table])


def test_what_cannot_be_read_is_not_cached(table: str, home: Path) -> None:
    (file, *_) = sorted((home / "lake" / table.replace(".", "/") / "data").rglob("*.parquet"))
    content = file.read_bytes()
    file.write_bytes(b"no parquet")
    with pytest.raises(DamagedFile):
        lake_cache.records([table])
    file.write_bytes(content)
    assert len(numbers(table)) == 4


def test_a_table_off_the_path_is_read_once_a_snapshot(table: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def off(location: str) -> Path:
        raise iceberg.UnsupportedTableError

    reads: list[str] = []
    records = lake.records
    monkeypatch.setattr(iceberg, "_local", off)
    monkeypatch.setattr(lake, "records", lambda name, **more: reads.append(name) or records(name, **more))
    assert len(numbers(table)) == len(numbers(table)) == 4
    memory.clear()
    assert len(numbers(table)) == 4
    assert reads == [table]
    lake.replace(table, "b", pa.table({"number": [7]}))
    assert len(numbers(table)) == 3


def test_processes_that_keep_at_once_do_not_disturb_one_another(table: str) -> None:
    code = f"from perennial import lake_cache; print(len(lake_cache.records(['{table}'])['{table}']))"
    running = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=os.environ)
        for _ in range(4)
    ]
    assert [one.communicate()[0].strip() for one in running] == ["4"] * 4
