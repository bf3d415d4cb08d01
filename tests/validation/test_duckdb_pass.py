"""DuckDB's results in one pass equal those of Great Expectations itself for the same rows, on pandas."""

from __future__ import annotations

import math
import os
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import great_expectations.expectations as gxe
import pyarrow as pa
import pytest
from examples import examples
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from perennial.validation import duckdb_pass, pandas_fallback, suite_validation
from perennial.validation.sql.translation import translate

EXAMPLES = int(os.environ.get("EXAMPLES", "10"))
# Great Expectations takes a second for an example: a smaller one that fails too is not looked for.
FEW = settings(
    max_examples=examples(EXAMPLES),
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
)
EPOCH = datetime(2024, 1, 1, tzinfo=UTC)

integers = st.integers(-5, 5)
floats = st.sampled_from([-0.0, 0.0, -1.5, 1.5, 2.0, 3.0, 1e300, math.nan, math.inf, -math.inf])
finite = st.sampled_from([-0.0, 0.0, -1.5, 1.5, 2.0, 3.25, 0.1, math.nan])
words = st.sampled_from(["", "a", "A", "ab", "Ä", "é", "a\n", "\n", "12", "٣", "x1", "'", '"', "ab-c", "日本"])
moments = st.integers(-3, 3).map(lambda hours: EPOCH + timedelta(hours=hours))
KINDS = {
    "int": (integers, pa.int64()),
    "small": (integers, pa.int32()),
    "float": (floats, pa.float64()),
    "finite": (finite, pa.float64()),
    "text": (words, pa.string()),
    "time": (moments, pa.timestamp("us", tz="UTC")),
    "bool": (st.booleans(), pa.bool_()),
}


@st.composite
def tables(draw: st.DrawFn) -> pa.Table:
    """Columns of every kind, named by it, each also as `<kind>2`, with nulls, NaN, and perhaps without any row."""
    rows = draw(st.integers(0, 8))
    columns = {}
    for kind, (values, type_) in KINDS.items():
        for name in (kind, f"{kind}2"):
            drawn = draw(st.lists(st.none() | values, min_size=rows, max_size=rows))
            columns[name] = pa.array(drawn, type_, from_pandas=False)
    return pa.table(columns)


def same(ours: Any, theirs: Any) -> bool:
    """Equal but for how a missing value or a time in a pair is written, and a float's last digits."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return ours.keys() == theirs.keys() and all(same(ours[key], theirs[key]) for key in ours)
    if isinstance(ours, list | tuple) and isinstance(theirs, list | tuple):
        return len(ours) == len(theirs) and all(map(same, ours, theirs))
    if _missing(ours) or _missing(theirs):
        return _missing(ours) and _missing(theirs)
    if isinstance(ours, str) and isinstance(theirs, str) and ours.endswith("+00:00"):
        return ours == theirs or datetime.fromisoformat(ours).replace(tzinfo=None) == datetime.fromisoformat(theirs)
    if isinstance(ours, int | float) and isinstance(theirs, int | float):
        return ours == theirs or math.isclose(ours, theirs, rel_tol=1e-9)
    return ours == theirs


def _missing(value: Any) -> bool:
    return value is None or str(value) in ("nan", "NaT", "NaN")


def assert_equal(table: pa.Table, *expectations: gxe.Expectation) -> None:
    """Each of them is translated, and says of the table what Great Expectations says, of the same rows."""
    numbered = list(enumerate(expectations))
    translated = [(number, each, translate(each, table.schema)) for number, each in numbered]
    for _, each, translation in translated:
        assert translation is not None, f"{each} is not translated"
    by_row = {number for number, each in numbered if isinstance(each, suite_validation.ROW_LEVEL)}
    ours, our_rows = duckdb_pass.evaluate(table, translated, by_row)
    theirs, their_rows = pandas_fallback.evaluate(table, numbered, by_row)
    for number, _ in numbered:
        mine, stocks = ours[number].to_json_dict(), theirs[number].to_json_dict()
        assert "'raised_exception': True" not in str(stocks["exception_info"]), stocks
        for result in (mine, stocks):
            for name in ("partial_missing_list", "partial_unexpected_list"):
                if number not in by_row and result["result"].get(name):
                    result["result"][name] = sorted(result["result"][name], key=str)
        assert mine["expectation_config"] == stocks["expectation_config"]
        assert mine["success"] == stocks["success"], (mine, stocks)
        assert same(mine["result"], stocks["result"]), (mine, stocks)
    assert sorted(zip(*our_rows.to_pydict().values(), strict=True)) == sorted(
        zip(*their_rows.to_pydict().values(), strict=True)
    )


mostly = st.sampled_from([0.0, 0.5, 0.9, 1.0])
columns_of = {
    "number": st.sampled_from(["int", "small", "float", "finite"]),
    "finite": st.sampled_from(["int", "small", "finite"]),
    "text": st.just("text"),
    "time": st.just("time"),
    "any": st.sampled_from(list(KINDS)),
}


@FEW
@given(tables(), columns_of["any"], mostly)
def test_missing_values(table: pa.Table, column: str, mostly: float) -> None:
    assert_equal(
        table,
        gxe.ExpectColumnValuesToNotBeNull(column=column, mostly=mostly),
        gxe.ExpectColumnValuesToBeNull(column=column, mostly=mostly),
        gxe.ExpectColumnProportionOfNonNullValuesToBeBetween(column=column, min_value=mostly),
    )


@FEW
@given(tables(), columns_of["any"], st.lists(columns_of["any"], min_size=2, max_size=3, unique=True), mostly)
def test_uniqueness(table: pa.Table, column: str, columns: list[str], mostly: float) -> None:
    assert_equal(
        table,
        gxe.ExpectColumnValuesToBeUnique(column=column, mostly=mostly),
        *(
            gxe.ExpectCompoundColumnsToBeUnique(column_list=columns, ignore_row_if=ignore)
            for ignore in ("all_values_are_missing", "any_value_is_missing", "never")
        ),
    )


@FEW
@given(tables(), st.data(), st.booleans(), st.booleans(), mostly)
def test_between(table: pa.Table, data: st.DataObject, strict_min: bool, strict_max: bool, mostly: float) -> None:
    bounds = {
        "int": st.integers(-3, 3) | st.sampled_from([-1.5, 0.5]),
        "float": st.sampled_from([-1, 0.0, 1.5, math.inf]),
        "time": moments | moments.map(lambda moment: moment.isoformat()),
    }
    expectations = []
    for column, values in bounds.items():
        low, high = data.draw(st.none() | values), data.draw(st.none() | values)
        if (low is None and high is None) or (low is not None and high is not None and type(low) is not type(high)):
            continue
        if low is not None and high is not None and low > high:
            low, high = high, low
        expectation = gxe.ExpectColumnValuesToBeBetween(
            column=column,
            min_value=low,
            max_value=high,
            strict_min=strict_min and low is not None,
            strict_max=strict_max and high is not None,
            mostly=mostly,
        )
        expectations.append(expectation)
    assert_equal(table, *expectations)


@FEW
@given(tables(), st.lists(words), st.lists(integers | st.just(1.5)), mostly)
def test_membership(table: pa.Table, texts: list[str], numbers: list, mostly: float) -> None:
    sets = {"text": texts, "int": numbers, "float": numbers}
    assert_equal(
        table,
        *(
            kind(column=column, value_set=values, mostly=mostly)
            for kind in (gxe.ExpectColumnValuesToBeInSet, gxe.ExpectColumnValuesToNotBeInSet)
            for column, values in sets.items()
        ),
    )


@FEW
@given(tables(), st.lists(words, min_size=1), st.lists(integers, min_size=1))
def test_distinct_values(table: pa.Table, texts: list[str], numbers: list[int]) -> None:
    kinds = (
        gxe.ExpectColumnDistinctValuesToBeInSet,
        gxe.ExpectColumnDistinctValuesToContainSet,
        gxe.ExpectColumnDistinctValuesToEqualSet,
    )
    assert_equal(
        table,
        *(kind(column="text", value_set=texts) for kind in kinds),
        *(kind(column="small", value_set=numbers) for kind in kinds),
    )


@FEW
@given(tables(), st.sampled_from([0, 1, 2]), st.sampled_from([2, 3]), st.booleans(), mostly)
def test_lengths(table: pa.Table, low: int, high: int, strict: bool, mostly: float) -> None:
    assert_equal(
        table,
        gxe.ExpectColumnValueLengthsToEqual(column="text", value=low, mostly=mostly),
        gxe.ExpectColumnValueLengthsToBeBetween(
            column="text", min_value=low, max_value=high, strict_min=strict, mostly=mostly
        ),
    )


PATTERNS = [
    "^[A-Z0-9]{2}$",
    "a$",
    "^$",
    "^a|b$",
    r"\d+",
    "[a-z]+",
    ".",
    "^.$",
    "(a|b)c?",
    "ab?-",
    "[^a]",
    r"\.",
    "^(?:x)1",
]


@FEW
@given(tables(), st.sampled_from(PATTERNS), mostly)
def test_patterns(table: pa.Table, pattern: str, mostly: float) -> None:
    assert_equal(
        table,
        gxe.ExpectColumnValuesToMatchRegex(column="text", regex=pattern, mostly=mostly),
        gxe.ExpectColumnValuesToNotMatchRegex(column="text", regex=pattern, mostly=mostly),
    )


@FEW
@given(tables(), st.sampled_from(["int", "float", "time"]), st.booleans(), mostly)
def test_pairs(table: pa.Table, kind: str, or_equal: bool, mostly: float) -> None:
    columns = {"column_A": kind, "column_B": f"{kind}2", "mostly": mostly}
    missing = ("both_values_are_missing", "either_value_is_missing")
    assert_equal(
        table,
        *(
            gxe.ExpectColumnPairValuesAToBeGreaterThanB(or_equal=or_equal, ignore_row_if=ignore, **columns)
            for ignore in (*missing, "neither")
        ),
        *(gxe.ExpectColumnPairValuesToBeEqual(ignore_row_if=ignore, **columns) for ignore in missing),
    )


@FEW
@given(tables(), st.sampled_from([0, 1, 2.0]), st.sampled_from(["all_values_are_missing", "any_value_is_missing"]))
def test_sums_of_columns(table: pa.Table, total: float, ignore: str) -> None:
    assert_equal(
        table,
        *(
            gxe.ExpectMulticolumnSumToEqual(column_list=columns, sum_total=total, ignore_row_if=ignore)
            for columns in (["int", "int2"], ["int", "finite", "small2"])
        ),
    )


@FEW
@given(tables(), columns_of["finite"], st.sampled_from([-1, 0, 1.5]), st.booleans())
def test_aggregates_of_numbers(table: pa.Table, column: str, low: float, strict: bool) -> None:
    kinds = (
        gxe.ExpectColumnMinToBeBetween,
        gxe.ExpectColumnMaxToBeBetween,
        gxe.ExpectColumnMeanToBeBetween,
        gxe.ExpectColumnMedianToBeBetween,
        gxe.ExpectColumnStdevToBeBetween,
        gxe.ExpectColumnSumToBeBetween,
    )
    assert_equal(
        table,
        *(kind(column=column, min_value=low, strict_min=strict) for kind in kinds),
        *(kind(column=column, max_value=low, strict_max=strict) for kind in kinds),
    )


@FEW
@given(tables(), moments)
def test_extremes_of_times(table: pa.Table, moment: datetime) -> None:
    assert_equal(
        table,
        gxe.ExpectColumnMinToBeBetween(column="time", max_value=moment),
        gxe.ExpectColumnMaxToBeBetween(column="time", min_value=moment, strict_min=True),
    )


@FEW
@given(tables(), columns_of["any"], st.integers(0, 3))
def test_counts_of_distinct_values(table: pa.Table, column: str, low: int) -> None:
    assert_equal(
        table,
        gxe.ExpectColumnUniqueValueCountToBeBetween(column=column, min_value=low),
        gxe.ExpectColumnProportionOfUniqueValuesToBeBetween(column=column, min_value=low / 3),
        gxe.ExpectColumnMeanToBeBetween(column="bool", min_value=low / 3),
    )


@FEW
@given(tables(), st.integers(0, 9))
def test_the_table_as_a_whole(table: pa.Table, number: int) -> None:
    names = list(KINDS)
    assert_equal(
        table,
        gxe.ExpectTableRowCountToBeBetween(min_value=number),
        gxe.ExpectTableRowCountToEqual(value=number),
        gxe.ExpectTableColumnCountToEqual(value=number),
        gxe.ExpectTableColumnCountToBeBetween(min_value=number, max_value=20),
        gxe.ExpectTableColumnsToMatchSet(column_set=names, exact_match=False),
        gxe.ExpectTableColumnsToMatchOrderedList(column_list=names),
        gxe.ExpectColumnToExist(column="int"),
        gxe.ExpectColumnToExist(column="nowhere"),
    )


def test_work_is_linear_in_the_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted: the columns that DuckDB sees and gives, over all queries, where every column has values out of range."""
    counted = 0
    fetch = duckdb_pass.fetch_table

    def counting(connection: duckdb.DuckDBPyConnection, sql: str) -> pa.Table:
        nonlocal counted
        table = fetch(connection, sql)
        counted += len(connection.table("rows").columns) + table.num_columns
        return table

    def work(columns: int) -> int:
        nonlocal counted
        counted = 0
        table = pa.table({f"f{number}": [float(number), -1.0, None] for number in range(columns)})
        suite: list[gxe.Expectation] = []
        for name in table.column_names:
            suite += [
                gxe.ExpectColumnToExist(column=name),
                gxe.ExpectColumnValuesToBeBetween(column=name, min_value=0),
                gxe.ExpectColumnMeanToBeBetween(column=name, min_value=0),
            ]
        translated = [(number, each, translate(each, table.schema)) for number, each in enumerate(suite)]
        results, failing = duckdb_pass.evaluate(table, translated, range(len(suite)))
        assert sum(not result.success for result in results.values()) >= columns
        assert failing.num_rows == columns
        return counted

    monkeypatch.setattr(duckdb_pass, "fetch_table", counting)
    assert work(240) <= 4.5 * work(60)
