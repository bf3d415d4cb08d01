"""Whatever way values are written, they are read as what they are; what cannot be read is counted and shown."""

from __future__ import annotations

import decimal
import tempfile
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import new_cases
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial._common.sql_quoting import quote_ident
from perennial.errors import InvalidParams
from perennial.scaffold import names, places, profiling

few = settings(max_examples=examples(12), deadline=None)
whole = st.integers(-(2**63), 2**63 - 1)
moments = st.datetimes(datetime(1981, 1, 1), datetime(2099, 1, 1)).map(lambda at: at.replace(microsecond=0))


def looked_at(frame: pd.DataFrame, what: str = "value", **how: object) -> tuple[profiling.ProfiledColumn, list[object]]:
    """What is found of a column of a CSV file, and its values as they are read."""
    with tempfile.TemporaryDirectory() as folder, profiling.at(new_cases.csv(frame, Path(folder), **how), {}) as look:
        column = look.column(what, "--label")
        expression = column.moment if column.kind == "time" else quote_ident(column.name)
        return column, read(look, expression)


def read(look: profiling.Look, expression: str | None) -> list[object]:
    """The values of a column, in the order of the file."""
    return [row[0] for row in look.ask(f"SELECT {expression} FROM looked ORDER BY rowid")]  # noqa: S608


def texts(values: list[object]) -> pd.DataFrame:
    return pd.DataFrame({"number": range(len(values)), "value": values})


@pytest.mark.parametrize(
    "values", [["N", "F", "T"] * 20, ["y", "yes", "no"] * 20, ["NO"] * 95 + ["SE"] * 5], ids=["N F T", "y yes", "NO SE"]
)
def test_categories_like_yes_and_no_stay_text(values: list[str]) -> None:
    column, found = looked_at(texts(values))
    assert (column.kind, found) == ("text", values)


@pytest.mark.parametrize("values", [["N", "Y"] * 20, ["true", "FALSE"] * 20, ["f", "t", ""] * 20])
def test_yes_and_no_are_one_of_two(values: list[str]) -> None:
    assert looked_at(texts(values))[0].kind == "boolean"


def test_a_decimal_comma_elsewhere_settles_a_column(tmp_path: Path) -> None:
    frame = pd.DataFrame({"v": ["251,00", "7,5"] * 30, "kg": ["1,310", "2,250"] * 30})
    with profiling.at(new_cases.csv(frame, tmp_path, sep="|"), {}) as look:
        assert read(look, quote_ident("kg"))[:2] == [1.31, 2.25]


@few
@given(st.lists(whole, min_size=2, max_size=40))
def test_whole_numbers_stay_whole(values: list[int]) -> None:
    column, found = looked_at(texts(values))
    assert (column.kind, found) == ("integer", values)
    assert (column.low, column.high) == (min(values), max(values))


@few
@given(st.lists(st.floats(-1e12, 1e12).filter(lambda value: value != int(value)), min_size=2, max_size=40))
def test_numbers_are_numbers(values: list[float]) -> None:
    column, found = looked_at(texts(values))
    assert column.kind == "number"
    assert found == pytest.approx(values)


@few
@given(st.lists(st.decimals(-9999, 9999, places=2), min_size=2, max_size=40))
def test_a_decimal_comma_is_understood_where_commas_part_nothing(values: list[object]) -> None:
    column, found = looked_at(texts([f"{value:.2f}".replace(".", ",") for value in values]), sep=";")
    assert column.kind == "number"
    assert found == pytest.approx([float(str(value)) for value in values])


@pytest.mark.parametrize(
    ("values", "other", "read_as"),
    [
        (["999", "1.234", "50.123"], ["1", "2", "3"], [999, 1234, 50123]),  # what follows 999 is a thousand
        (["1.234", "50.123", "7.000"], ["0,5", "1", "2"], [1234, 50123, 7000]),  # another column has a decimal comma
        (["999", "1.234", "50.123"], ["0.5", "1", "2"], [999, 1.234, 50.123]),  # another column has a decimal dot
        (["1.234", "50.123", "7.000"], ["1", "2", "3"], [1.234, 50.123, 7.0]),  # nothing says so
        (["1001", "1.234", "50.123"], ["1", "2", "3"], [1001, 1.234, 50.123]),  # this thousand has no dot
        (["0.123", "1.234", "999"], ["1", "2", "3"], [0.123, 1.234, 999]),
    ],
)
def test_a_dot_separates_thousands_if_the_data_shows_it(
    values: list[object], other: list[str], read_as: object
) -> None:
    column, found = looked_at(texts(values).assign(other=other), sep=";")
    assert (column.kind, found) == ("number", read_as)


@pytest.mark.parametrize("sign", ["{} €", "CHF {}", "{} %"])
@pytest.mark.parametrize(
    ("values", "other", "read_as"),
    [
        (["999", "1.234", "50.123"], ["1", "2", "3"], [999, 1234, 50123]),  # what follows 999 is a thousand
        (["1.234", "50.123", "7.000"], ["0,5 €", "1 €", "2 €"], [1234, 50123, 7000]),  # another has a decimal comma
        (["1.234", "50.123", "7.000"], ["0,5", "1", "2"], [1234, 50123, 7000]),
        (["999", "1.234", "50.123"], ["0.5 €", "1 €", "2 €"], [999, 1.234, 50.123]),  # another has a decimal dot
        (["1001", "1.234", "50.123"], ["1", "2", "3"], [1001, 1.234, 50.123]),  # this thousand has no dot
        (["1.5", "1.234", "50.123"], ["0,5", "1", "2"], [1.5, 1.234, 50.123]),  # this dot parts decimals
    ],
)
def test_a_sign_of_a_unit_hides_no_thousands(values: list[str], other: list[str], read_as: object, sign: str) -> None:
    column, found = looked_at(texts([sign.format(value) for value in values]).assign(other=other), sep=";")
    assert (column.kind, found) == ("number", read_as)


@pytest.mark.parametrize(
    ("values", "sep", "read_as"),
    [
        (["1,234,567", "1,234", "7"], "\t", [1234567, 1234, 7]),  # no number has two decimal commas
        (["1,234.5", "50,123", "7"], ";", [1234.5, 50123, 7]),  # the dot parts the decimals
        (["-1,234", "50,123", "-7.25"], ",", [-1234, 50123, -7.25]),
        (["1,234", "50,123", "999"], "\t", [1234, 50123, 999]),  # what follows 999 is a thousand
        (["1,234", "50,123", "1000"], "\t", [1.234, 50.123, 1000]),  # this thousand has no comma
        (["1,234", "50,123", "0,500"], "\t", [1.234, 50.123, 0.5]),  # no thousand begins with zero
        (["1,234", "50,12", "7"], "\t", [1.234, 50.12, 7]),
    ],
)
def test_a_comma_parts_thousands_where_the_values_say_so(values: list[object], sep: str, read_as: object) -> None:
    column, found = looked_at(texts(values), sep=sep)
    assert (column.kind, found, column.either) == ("number", read_as, ())


@pytest.mark.parametrize(
    ("other", "read_as"),
    [
        (["0.5", "1", "2"], [1234, 50123, 7000]),
        (["1,000,000", "1", "2"], [1234, 50123, 7000]),
        (["0,5", "1", "2"], [1.234, 50.123, 7.0]),
    ],
)
def test_a_commas_meaning_is_derived_from_another_column(other: list[str], read_as: object) -> None:
    column, found = looked_at(texts(["1,234", "50,123", "7,000"]).assign(other=other), sep="\t")
    assert (found, column.either) == (read_as, ())


@pytest.mark.parametrize(("sep", "read_as"), [(";", [1.234, 50.123, 7.0]), ("\t", [1234, 50123, 7000])])
def test_a_comma_that_nothing_tells_of_keeps_its_other_reading(sep: str, read_as: object) -> None:
    column, found = looked_at(texts(["1,234", "50,123", "7,000"]), sep=sep)
    assert (found, len(column.either)) == (read_as, 1)


@pytest.mark.parametrize("sep", [",", ";"])
@few
@given(values=st.lists(st.integers(0, 999), min_size=5, max_size=40))
def test_codes_with_leading_zeros_are_text(sep: str, values: list[int]) -> None:
    codes = [f"0{value:04}" for value in values]
    column, found = looked_at(texts(list(codes)), sep=sep)
    assert (column.kind, found) == ("text", codes)


WAYS: dict[str, Callable[[datetime], str]] = {
    "ISO": lambda at: at.isoformat(),
    "with a zone": lambda at: f"{at.isoformat()}+00:00",
    "with a blank": lambda at: str(at),
    "German": lambda at: at.strftime("%d.%m.%Y %H:%M:%S"),
    "slashes": lambda at: at.strftime("%Y/%m/%d %H:%M:%S"),
    "month by name": lambda at: at.strftime("%d-%b-%Y %H:%M:%S"),
    "seconds": lambda at: str(int(at.replace(tzinfo=UTC).timestamp())),
    "milliseconds": lambda at: str(int(at.replace(tzinfo=UTC).timestamp()) * 1000),
}


@pytest.mark.parametrize("way", WAYS)
@settings(max_examples=examples(6), deadline=None)
@given(values=st.lists(moments, min_size=3, max_size=20, unique=True))
def test_moments_are_read_however_they_are_written(way: str, values: list[datetime]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        data = new_cases.csv(texts([WAYS[way](value) for value in values]), Path(folder))
        with profiling.at(data, {}) as look:
            column = look.column("value", "--time")
            found = read(look, column.moment)
    assert found == [value.replace(tzinfo=UTC) for value in values]


def test_a_short_year_is_read_where_only_one_notation_fits() -> None:
    column, _ = looked_at(texts(["1/31/23", "2/1/23 13:45", "12/31/22"]))
    assert (column.low, column.high) == (datetime(2022, 12, 31, tzinfo=UTC), datetime(2023, 2, 1, 13, 45, tzinfo=UTC))
    assert (column.reading.notation, column.either) == ("%m/%d/%y", ())


@pytest.mark.parametrize("days", [["1.12.10", "2.12.3"], ["10-12-23", "10-11-22"], ["0001-01-01", "0001-01-02"]])
def test_what_may_be_a_version_a_code_or_never_is_no_day(days: list[object]) -> None:
    column, found = looked_at(texts(days))
    assert (column.kind, found) == ("text", days)


@few
@given(st.lists(st.sampled_from(["Yes", "no", "YES", "No"]), min_size=2, max_size=30))
def test_words_for_yes_and_no_are_booleans(values: list[str]) -> None:
    column, found = looked_at(texts(list(values)))
    assert (column.kind, found) == ("boolean", [value.lower() == "yes" for value in values])


@few
@given(st.integers(40, 100), st.integers(1, 2))
def test_a_few_values_that_are_no_numbers_are_missing_and_shown(good: int, bad: int) -> None:
    values = [*(f"{value}.5" for value in range(good)), *["call me"] * bad]
    column, found = looked_at(texts(values))
    assert (column.kind, column.unreadable, column.unreadable_example) == ("number", bad, "call me")
    assert (column.missing, found[-1]) == (bad, None)


def test_a_partly_numeric_column_is_text_with_its_share() -> None:
    column, _ = looked_at(texts([*["12.5"] * 7, *["none yet"] * 3]))
    assert (column.kind, column.mixed) == ("text", 0.7)


def test_words_that_may_be_names_are_missing_and_counted() -> None:
    column, found = looked_at(texts(["EU", "NA", "APAC", "NA", "", "None"]))
    assert found == ["EU", None, "APAC", None, None, None]
    assert (column.missing, column.unreadable, column.unreadable_example) == (4, 3, "NA")


def test_columns_that_hold_nothing_are_left_out(tmp_path: Path) -> None:
    frame = texts(["a", "b"]).assign(empty=None, absent="NA")
    with profiling.at(new_cases.csv(frame, tmp_path), {}) as look:
        assert set(look.left_out) == {"empty", "absent"}
        assert [column.name for column in look.columns] == ["number", "value"]


def test_parquet_types_are_kept_and_nested_ones_left_out(tmp_path: Path) -> None:
    table = pa.table(
        {
            "at": pa.array([datetime(2024, 1, 1), datetime(2024, 1, 2)], pa.timestamp("ns")),
            "small": pa.array([1, 2], pa.uint8()),
            "amount": pa.array([1, None], pa.decimal128(9, 2)),
            "bad": pa.array([float("nan"), float("inf")]),
            "word": pa.array(["1", "2"]).dictionary_encode(),
            "list": pa.array([[1], [2]]),
        }
    )
    pq.write_table(table, tmp_path / "data.parquet")
    with profiling.at(str(tmp_path / "data.parquet"), {}) as look:
        kinds = {column.name: column.kind for column in look.columns}
        assert kinds == {"at": "time", "small": "integer", "amount": "number", "bad": "number", "word": "integer"}
        assert look.column("bad", "--label").missing == 2
        assert "which is not supported" in look.left_out["list"]


LARGE = range(15 * 10**17, 15 * 10**17 + 400)


@pytest.mark.parametrize("type_", [pa.uint64(), pa.decimal128(20, 0), pa.decimal256(38, 0)])
@pytest.mark.parametrize(("values", "kind"), [(LARGE, "integer"), (range(2**63 - 200, 2**63 + 200), "text")])
def test_whole_numbers_of_any_type_stay_apart(tmp_path: Path, type_: pa.DataType, values: range, kind: str) -> None:
    numbers = [decimal.Decimal(value) for value in values] if pa.types.is_decimal(type_) else list(values)
    pq.write_table(pa.table({"id": pa.array(numbers, type_), "empty": pa.nulls(400, type_)}), tmp_path / "data.parquet")
    with profiling.at(str(tmp_path / "data.parquet"), {}) as look:
        column = look.column("id", "--key")
        assert column.kind == kind
        assert [int(str(value)) for value in read(look, "id")] == list(values)
        assert look.left_out == {"empty": "is empty in every row"}


def test_uuids_are_text(tmp_path: Path) -> None:
    duckdb.sql("SELECT uuid() AS id FROM range(3)").write_parquet(str(tmp_path / "data.parquet"))
    with profiling.at(str(tmp_path / "data.parquet"), {}) as look:
        (column,) = look.columns
        assert column.kind == "text"
        assert len({str(uuid.UUID(str(value))) for value in read(look, "id")}) == 3


def test_long_digit_ids_stay_distinct_with_decimal_commas() -> None:
    names_of_digits = [str(2**63 + value) for value in range(10)]
    column, found = looked_at(texts(list(names_of_digits)), sep=";")
    assert (column.kind, found) == ("text", names_of_digits)


def test_a_folder_is_read_as_one_and_columns_are_matched_by_name(tmp_path: Path) -> None:
    (tmp_path / "2023").mkdir()
    new_cases.csv(pd.DataFrame({"a": [1], "b": [2]}), tmp_path / "2023", "one.csv")
    new_cases.csv(pd.DataFrame({"b": [4], "a": [3]}), tmp_path, "two.csv")
    (tmp_path / "_SUCCESS").touch()
    with profiling.at(str(tmp_path), {}) as look:
        assert sorted(look.ask("SELECT a, b FROM looked")) == [(1, 2), (3, 4)]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_rows_of_a_wide_table_stay_together(tmp_path: Path, suffix: str) -> None:
    for part in (0, 1):
        frame = pd.DataFrame({f"c{column}": [part * 9_000 + row for row in range(9_000)] for column in range(120)})
        place = tmp_path / f"{part}.{suffix}"
        frame.to_csv(place, index=False) if suffix == "csv" else frame.to_parquet(place, index=False)
    with profiling.at(str(tmp_path), {}) as look:
        differ = " OR ".join(f"c{column} != c0" for column in range(1, 120))
        assert look.ask(f"SELECT count(*), count_if({differ}) FROM looked") == [(18_000, 0)]  # noqa: S608


def test_a_path_is_no_pattern(tmp_path: Path) -> None:
    folder = tmp_path / "a[1] *"
    folder.mkdir()
    data = new_cases.csv(texts([1, 2]), folder)
    with profiling.at(data, {}) as look:
        assert look.rows == 2


@pytest.mark.parametrize(
    ("content", "said"),
    [("", "the file is empty"), ("1,2\n3,4\n5,6\n", "has no header"), ("a,b\n", "no column holds anything")],
)
def test_a_file_that_cannot_do_is_refused_with_a_reason(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "data.csv").write_text(content)
    with pytest.raises(InvalidParams, match=said), profiling.at(str(tmp_path / "data.csv"), {}):
        pass


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("nowhere.csv", "no such file"),
        ("postgresql://host/table", "connection://CONNECTION_ID/SCHEMA.TABLE"),
    ],
)
def test_a_place_that_cannot_be_read_is_answered_with_what_to_do(data: str, said: str) -> None:
    with pytest.raises(InvalidParams, match=said):
        places.find(data)


def test_a_parquet_file_that_is_cut_short_is_named(tmp_path: Path) -> None:
    path = tmp_path / "data.parquet"
    texts([1, 2]).to_parquet(path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InvalidParams, match=r"data\.parquet cannot be read"), profiling.at(str(path), {}):
        pass


@settings(max_examples=examples(120), deadline=None)
@given(st.lists(st.text(min_size=1, max_size=60), unique=True, max_size=12))
def test_any_names_become_usable_ones_and_none_twice(given_names: list[str]) -> None:
    found = names.columns(given_names)
    assert list(found) == given_names
    assert len(set(found.values())) == len(given_names)
    for name in found.values():
        assert name.isidentifier()
        assert name.isascii()
        assert name == name.lower()
        assert "__" not in name
        assert name not in names.RESERVED
        assert len(name) <= 40
