"""What text is read as: nothing becomes another value, or a moment of another millennium."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import duckdb
import pytest

from perennial.scaffold import column_types


def read(reading: column_types.Reading, text: str) -> Any:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        found = connection.execute(
            f"SELECT {reading.of('c')} FROM (SELECT CAST($1 AS VARCHAR) AS c)",  # noqa: S608
            [text],
        ).fetchone()
    return found[0] if found else None


@pytest.mark.parametrize("number", [0, -7, 2**53 + 1, 1_500_000_000_000_000_001, 2**63 - 1, -(2**63)])
def test_a_whole_number_stays_the_same_number(number: int) -> None:
    assert read(column_types.INTEGER, str(number)) == number


def test_a_name_of_many_digits_is_no_number() -> None:
    assert read(column_types.INTEGER, "99999999999999999999") is None
    assert read(column_types.NUMBER, "99999999999999999999") is None


@pytest.mark.parametrize("text", ["Infinity", "-infinity", "NAN", "1e400", "007"])
def test_what_is_not_finite_is_no_number(text: str) -> None:
    assert read(column_types.NUMBER, text) is None


@pytest.mark.parametrize(("text", "number"), [("1.5", 1.5), (" -2 ", -2.0), ("1e3", 1000.0), ("0.1", 0.1)])
def test_a_number_is_one(text: str, number: float) -> None:
    assert read(column_types.NUMBER, text) == number


@pytest.mark.parametrize("text", ["0001-01-01", "01.01.0001 00:00:00"])
def test_a_year_before_1000_is_no_moment(text: str) -> None:
    assert {read(each, text) for each in (column_types.ISO, *column_types.NOTATIONS)} == {None}


@pytest.mark.parametrize("text", ["31/12/23", "31-12-23", "12/31/23", "31.12.23"])
def test_a_year_of_two_digits_is_none_of_four(text: str) -> None:
    assert read(column_types.ISO, text) is None
    assert {read(each, text) for each in column_types.NOTATIONS if "%Y" in each.notation} == {None}


def test_a_two_digit_year_is_read_in_its_notation() -> None:
    assert read(column_types.in_notation("%d/%m/%y"), "31/12/23") == datetime(2023, 12, 31, tzinfo=UTC)
    assert read(column_types.in_notation("%d/%m/%Y"), "31/12/2023 13:45") == datetime(2023, 12, 31, 13, 45, tzinfo=UTC)
    assert read(column_types.ISO, "2023-12-31T13:45:00Z") == datetime(2023, 12, 31, 13, 45, tzinfo=UTC)
