"""Values that are written in two ways are read as declared, but for files that show that they mean the other."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from perennial import Cadence
from perennial.batches import Batch
from perennial.sources import Column, Files

MONTHS = {number: Cadence.MONTHLY.partition(f"2023-{number:02}") for number in (1, 2, 5, 9)}
PRICE = Column("float64")
GERMAN = Column("float64", decimal=",", thousands=".")


def batch_of(folder: Path, values: list[str], month: int = 1, **schema: Column) -> Batch:
    lines = [f"2023-01-{day:02};{value}" for day, value in enumerate(values, 1)]
    (folder / "a.csv").write_text("\n".join([f"when;{';'.join(schema)}", *lines]) + "\n")
    declared = {"when": Column("timestamp"), **schema}
    return Files("shop", str(folder), delimiter=";").read_batch(declared, MONTHS[month], "when")


@pytest.mark.parametrize(
    ("column", "values", "read"),
    [
        (PRICE, ["1.234", "12,5", "999", "1.234,50"], [999.0]),
        (PRICE, ["1.234", "12.5", "999"], [1.234, 12.5, 999.0]),
        (GERMAN, ["1.234", "12.5", "1,234", "7"], [7.0]),
        (GERMAN, ["1.234", "12,5", "1,234"], [1234.0, 12.5, 1.234]),
        (Column("float64", thousands=","), ["1.234", "1,234", "1.234,5"], []),
        (Column("float64", decimal=",", thousands=" "), ["1 234,5", "1,234", "12.5"], [1234.5]),
        (Column("int64"), ["1.000", "1.234", "7"], [7]),
        (Column("int64"), ["1.000", "7"], [1, 7]),
    ],
)
def test_numbers_are_not_taken_for_others(tmp_path: Path, column: Column, values: list[str], read: list[Any]) -> None:
    batch = batch_of(tmp_path, values, v=column)
    found = batch.rows["v"].to_pylist()
    assert (found, batch.unreadable.num_rows) == (read, len(values) - len(read))


def test_the_reason_names_what_the_file_shows(tmp_path: Path) -> None:
    batch = batch_of(tmp_path, ["1.234", "12,5"], v=PRICE)
    assert batch.unreadable["problem"].to_pylist() == [
        "column 'v': '1.234' cannot be read as float64; other values of the file are written with ',' before decimals"
        " and '.' between thousands",
        "column 'v': '12,5' cannot be read as float64",
    ]


def test_a_slip_of_the_pen_makes_no_doubt(tmp_path: Path) -> None:
    batch = batch_of(tmp_path, ["1.234", "7,5", *["2.5"] * 20], v=PRICE)
    assert (batch.rows["v"].to_pylist()[:2], batch.unreadable.num_rows) == ([1.234, 2.5], 1)


def test_another_column_of_numbers_tells_as_well(tmp_path: Path) -> None:
    batch = batch_of(tmp_path, ["1.234;12,5", "2.345;7", "8;3"], v=PRICE, w=PRICE)
    assert (batch.rows["v"].to_pylist(), batch.unreadable.num_rows) == ([8.0], 2)


def days(folder: Path, lines: list[str], month: int) -> Batch:
    (folder / "a.csv").write_text(
        "\n".join(["when,v", *(f"{line},{number}" for number, line in enumerate(lines))]) + "\n"
    )
    schema = {"when": Column("timestamp", format="%d/%m/%Y"), "v": "int64"}
    return Files("shop", str(folder)).read_batch(schema, MONTHS[month], "when")


def test_days_and_months_are_not_taken_for_each_other(tmp_path: Path) -> None:
    lines = ["09/04/2023", "09/05/2023", "09/09/2023", "09/13/2023", "09/30/2023"]
    september, may = days(tmp_path, lines, 9), days(tmp_path, lines, 5)
    assert september.rows["when"].to_pylist() == [datetime(2023, 9, 9, tzinfo=UTC)]
    assert september.unreadable.num_rows == 4
    assert "other values of the file are written like %m/%d/%Y" in september.unreadable["problem"][0].as_py()
    # None of them is in May, as it is the ninth of May only if the file is written as declared.
    assert (may.rows.num_rows, may.unreadable.num_rows) == (0, 0)


def test_days_of_a_file_as_declared_are_read(tmp_path: Path) -> None:
    lines = ["05/09/2023", "13/09/2023", *["30/09/2023"] * 30, "09/13/2023"]
    batch = days(tmp_path, lines, 9)
    assert (batch.rows.num_rows, batch.unreadable.num_rows) == (32, 1)


def test_a_later_file_of_swapped_days_loses_none(tmp_path: Path) -> None:
    lines = [f"{month:02}/{day:02}/2023" for month in (1, 2) for day in range(1, 28)]
    found = [days(tmp_path, lines, month) for month in (1, 2)]
    read = [moment for batch in found for moment in batch.rows["when"].to_pylist()]
    assert read == [datetime(2023, 1, 1, tzinfo=UTC), datetime(2023, 2, 2, tzinfo=UTC)]
    assert len(read) + sum(batch.unreadable.num_rows for batch in found) == len(lines)
