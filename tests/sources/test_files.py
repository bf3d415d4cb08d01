"""Files are read as declared: the rows of a partition, each value as its type, and errors that name file and column."""

from __future__ import annotations

import gzip
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial import Cadence, Partition
from perennial.errors import BadBatch, PerennialError
from perennial.sources import Column, Files, with_row_id

SCHEMA = {
    "at": Column("timestamp", source="when"),
    "shop": "string",
    "units": "int64",
    "price": Column("float64", source="Price ($)"),
    "open": "bool",
}
ROWS = [
    "when,shop,units,Price ($),open,ignored",
    "2024-01-31T23:59:59Z,a,1,0.5,yes,x",
    "2024-02-01,b,2,1.25,no,x",
    "2024-02-29T23:59:59.999999+00:00,NA,,,,x",
    "2024-03-01 00:00,c,4,2,yes,x",
]
FEBRUARY = Cadence.MONTHLY.partition("2024-02")


def files(place: Any, **how: Any) -> Files:
    return Files("shops", str(place), "SHOPS_DATA", **how)


def csv(folder: Path, *rows: str, name: str = "sales.csv") -> Path:
    path = folder / name
    path.write_text("\n".join(rows) + "\n")
    return path


def read(place: Any, partition: Partition | None = FEBRUARY, **how: Any) -> list[dict[str, Any]]:
    return files(place, **how).read(SCHEMA, partition, "at").to_pylist()


def test_the_rows_of_a_partition_come_typed_and_named(tmp_path: Path) -> None:
    first, second = read(csv(tmp_path, *ROWS))
    assert first == {"at": datetime(2024, 2, 1, tzinfo=UTC), "shop": "b", "units": 2, "price": 1.25, "open": False}
    assert second["at"] == datetime(2024, 2, 29, 23, 59, 59, 999999, tzinfo=UTC)
    assert [second[name] for name in ("shop", "units", "price", "open")] == [None] * 4


def test_types_are_those_of_the_schema_without_any_row(tmp_path: Path) -> None:
    rows = files(csv(tmp_path, *ROWS)).read(SCHEMA, FEBRUARY.next.next, "at")
    assert rows.num_rows == 0
    assert rows.schema.types == [pa.timestamp("us", "UTC"), pa.string(), pa.int64(), pa.float64(), pa.bool_()]


def test_partitions_hold_every_row_once_in_order(tmp_path: Path) -> None:
    place = csv(tmp_path, *ROWS)
    months = [FEBRUARY.previous, FEBRUARY, FEBRUARY.next]
    assert [row["shop"] for month in months for row in read(place, month)] == ["a", "b", None, "c"]
    assert [row["shop"] for row in read(place, None)] == ["a", "b", None, "c"]


def test_since_and_until_bound_a_partition(tmp_path: Path) -> None:
    how = {"since": datetime(2024, 2, 2, tzinfo=UTC), "until": datetime(2024, 2, 29, 23, 59, 59, 999999, tzinfo=UTC)}
    source = files(csv(tmp_path, *ROWS))
    assert source.read(SCHEMA, FEBRUARY, "at", since=how["since"])["shop"].to_pylist() == [None]
    assert source.read(SCHEMA, FEBRUARY, "at", until=how["until"])["shop"].to_pylist() == ["b"]
    assert not source.read(SCHEMA, FEBRUARY, "at", **how).num_rows


@pytest.mark.parametrize("kind", ["csv", "gzip", "zip", "parquet", "folder", "pattern", "strange [1] name"])
def test_it_does_not_matter_how_a_file_is_kept(tmp_path: Path, kind: str) -> None:
    place, how, file = csv(tmp_path, *ROWS), {}, ""
    if kind == "gzip":
        (packed := tmp_path / "sales.csv.gz").write_bytes(gzip.compress(place.read_bytes()))
        place = packed
    elif kind == "zip":
        with zipfile.ZipFile(tmp_path / "sales.csv.zip", "w") as archive:
            archive.write(place, "sales.csv")
        place.unlink()
    elif kind == "parquet":
        everything = files(place).read(SCHEMA)
        pq.write_table(
            everything.rename_columns(["when", "shop", "units", "Price ($)", "open"]), tmp_path / "x.parquet"
        )
        place, how = tmp_path / "x.parquet", {"format": "parquet"}
    elif kind == "folder":
        place, file = tmp_path, "sales.csv"
    elif kind == "pattern":
        place = tmp_path / "*.csv"
    elif kind.startswith("strange"):
        place = place.rename(tmp_path / f"{kind}.csv")
    rows = files(place, **how).read(SCHEMA, FEBRUARY, "at", file=file)
    assert rows["shop"].to_pylist() == ["b", None]
    assert rows["price"].to_pylist() == [1.25, None]


def test_the_argument_and_the_environment_name_other_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = files(csv(tmp_path, *ROWS, name="default.csv"))
    monkeypatch.setenv("SHOPS_DATA", str(csv(tmp_path, ROWS[0], ROWS[2], name="env.csv")))
    assert source.read(SCHEMA, FEBRUARY, "at").num_rows == 1
    assert source.read(SCHEMA, FEBRUARY, "at", data=tmp_path / "default.csv").num_rows == 2


def test_files_of_a_package_are_found_without_importing_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_package/data").mkdir(parents=True)
    (tmp_path / "broken_package/__init__.py").write_text("raise ImportError")
    csv(tmp_path / "broken_package/data", *ROWS)
    monkeypatch.syspath_prepend(tmp_path)
    assert files("package://broken_package/data").read(SCHEMA, file="sales.csv").num_rows == 4


def test_lines_before_the_header_are_skipped_as_declared(tmp_path: Path) -> None:
    place = csv(tmp_path, "Sales of all shops", *ROWS)
    assert len(read(place, skip=1)) == 2
    (file,) = files(place).read_batch(SCHEMA, FEBRUARY, "at").files
    assert "skip=1" in file.dialect
    with pytest.raises(BadBatch, match=r"'shops': .*sales\.csv lacks column 'when'|lacks column 'when'"):
        read(csv(tmp_path, *ROWS[1:]))


@pytest.mark.parametrize(("line", "count"), [("2024-02-03,b,2,1.25,no,x,y", 7), ("2024-02-03,b,2", 3)])
def test_a_line_of_another_length_is_named(tmp_path: Path, line: str, count: int) -> None:
    place = csv(tmp_path, *ROWS[:-1], line, ROWS[-1])
    with pytest.raises(BadBatch, match=rf"'shops': .*sales\.csv, line 5: it has {count} values, and the header 6"):
        read(place)
    batch = files(place).read_batch(SCHEMA, FEBRUARY, "at")
    assert batch.rows.num_rows == 2
    (unreadable,) = batch.unreadable.to_pylist()
    assert (unreadable["text"], unreadable["line"], unreadable["reason"]) == (line, 5, "unreadable(line)")
    assert len(read(place, FEBRUARY.next)) == 1


@pytest.mark.parametrize(
    ("column", "value", "type_"),
    [
        ("units", "2.5", "int64"),
        ("units", "far", "int64"),
        ("units", "99999999999999999999", "int64"),
        ("Price ($)", "1,25", "float64"),
        ("Price ($)", "nan.", "float64"),
        ("open", "perhaps", "bool"),
        ("when", "yesterday", "timestamp"),
        ("when", "31/12/23", "timestamp"),
        ("when", "", "timestamp"),
    ],
)
def test_an_unreadable_value_is_named_or_missing(tmp_path: Path, column: str, value: str, type_: str) -> None:
    at = ROWS[0].split(",").index(column)
    cells = ["2024-02-03", "b", "2", "1.25", "no", "x"]
    cells[at] = value if "," not in value else f'"{value}"'
    place = csv(tmp_path, *ROWS[:-1], ",".join(cells), ROWS[-1])
    with pytest.raises(BadBatch) as error:
        read(place)
    problem = f"column {column!r}: {value!r} cannot be read as {type_}"
    if not value:
        problem = f"column {column!r} has no value, and a row without a time belongs to no partition"
    assert f"Use case 'shops': {place}, line 5: {problem}; 1 of" in str(error.value)
    assert "include/use_cases/shops/source.py" in error.value.fix
    batch = files(place).read_batch(SCHEMA, FEBRUARY, "at")
    assert [row["shop"] for row in batch.rows.to_pylist()] == ["b", None]
    (unreadable,) = batch.unreadable.to_pylist()
    name = next((name for name, each in SCHEMA.items() if isinstance(each, Column) and each.source == column), column)
    assert unreadable == {
        "file": str(place),
        "line": 5,
        "text": ",".join(cells),
        "problem": problem,
        "reason": f"unreadable({name})",
        "is_placed": True,
    }
    with_nulls = files(place, unreadable="null").read_batch(SCHEMA, FEBRUARY, "at")
    assert with_nulls.files[0].missing == with_nulls.rows.num_rows - 2 == (column != "when")
    assert with_nulls.rows[name].to_pylist()[-1] is None or column == "when"


def test_values_of_other_partitions_do_not_stop_this_one(tmp_path: Path) -> None:
    assert len(read(csv(tmp_path, *ROWS, "2024-03-02,b,far,1.25,no,x"))) == 2


def test_missing_columns_are_named_with_those_there(tmp_path: Path) -> None:
    place = csv(tmp_path, *(row.replace("units", "pieces") for row in ROWS))
    with pytest.raises(BadBatch, match=r"sales\.csv lacks column 'units'\.\n.*when, shop, pieces"):
        read(place)


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        ("absent", "there is no file"),
        ("empty", "is empty"),
        ("truncated", r"\.zip is truncated"),
        ("other", "truncated"),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, damage: str, problem: str) -> None:
    place = csv(tmp_path, *ROWS * 50)
    if damage == "empty":
        place.write_text("")
    else:
        with zipfile.ZipFile(zipped := tmp_path / "sales.csv.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.write(place, "another.csv" if damage == "other" else "sales.csv")
        place.unlink()
        if damage == "absent":
            zipped.unlink()
        elif damage == "truncated":
            zipped.write_bytes(zipped.read_bytes()[:100])
    with pytest.raises(BadBatch, match=f"Use case 'shops': .*{problem}") as error:
        read(place)
    assert str(tmp_path) in error.value.problem


def test_a_package_that_is_absent_is_named() -> None:
    with pytest.raises(BadBatch, match="package 'nosuch', which holds the data, is not installed") as error:
        read("package://nosuch/data")
    assert "SHOPS_DATA" in error.value.fix


@pytest.mark.parametrize(
    ("declared", "written", "value"),
    [
        (Column("float64", "c", decimal=","), "1,5", 1.5),
        (Column("float64", "c", decimal=",", thousands="."), "-1.234.567,25", -1234567.25),
        (Column("float64", "c", thousands=","), "1,234.5", 1234.5),
        (Column("float64", "c", thousands=","), "12,34", None),
        (Column("float64", "c"), "1e3", 1000.0),
        (Column("float64", "c"), "Infinity", None),
        *((Column("float64", "c"), written, None) for written in ("inf", "-inf")),
        (Column("string", "c"), "inf", "inf"),
        (Column("int64", "c"), "-9223372036854775808", -(2**63)),
        (Column("int64", "c"), "007", None),
        *((Column("int64", "c"), written, None) for written in ("1_01", "1e5", "0x1F", "1.5", "true", "--5", "1,5")),
        *((Column("float64", "c"), written, None) for written in ("1_0.5", "0x1F", "1e400", "true", "5f", "007")),
        *((Column("int64", "c"), written, 5) for written in ("+5", " 5 ", "5\u00a0", "5.0", "5.")),
        (Column("int64", "c"), "\u22125", -5),
        *((Column("float64", "c"), written, 0.5) for written in (".5", "0.5", "+.5", "5e-1")),
        (Column("float64", "c"), "5.", 5.0),
        (Column("float64", "c"), "9007199254740992", float(2**53)),
        (Column("float64", "c"), "9007199254740993", None),
        (Column("int64", "c"), "9007199254740993", 2**53 + 1),
        (Column("float64", "c", prefix="$", thousands=",", parentheses=True), "($1,234.50)", -1234.5),
        *((Column("float64", "c", prefix="$"), written, -5.0) for written in ("-$5", "$-5", "$ -5")),
        (Column("float64", "c", prefix="$"), "5", None),
        (Column("float64", "c"), "$5", None),
        (Column("float64", "c", prefix="EUR "), "EUR 120", 120.0),
        (Column("float64", "c", suffix="%"), "12.5 %", 12.5),
        (Column("float64", "c", decimal=",", thousands=" ", suffix="\u20ac"), "1\u202f234,50\u00a0\u20ac", 1234.5),
        (Column("int64", "c", thousands="'"), "1'234", 1234),
        (Column("int64", "c", thousands="'"), "12'34", None),
        (Column("int64", "c", nulls=("?",)), "?", None),
        (Column("timestamp", "c"), "2023-1-5", datetime(2023, 1, 5, tzinfo=UTC)),
        (Column("timestamp", "c"), "2023-01-05 24:00", datetime(2023, 1, 6, tzinfo=UTC)),
        (Column("timestamp", "c"), "2023-01-05T00:00:00.1234560", datetime(2023, 1, 5, 0, 0, 0, 123456, UTC)),
        *(
            (Column("timestamp", "c"), written, None)
            for written in (
                "epoch",
                "infinity",
                "2023-01-05 (BC)",
                "2023-01-05T00:00:00.1234567",
                "2023-02-30",
                "10000-01-01",
            )
        ),
        (Column("timestamp", "c"), "2023-01-05T00:00:00+99:00", None),
        (Column("timestamp", "c", format="%d.%m.%Y"), "31.01.2024", datetime(2024, 1, 31, tzinfo=UTC)),
        (Column("timestamp", "c", format="%d.%m.%Y"), "31.01.2024 07:30", datetime(2024, 1, 31, 7, 30, tzinfo=UTC)),
        (Column("timestamp", "c", format="%d.%m.%Y"), "31.01.24", None),
        (Column("timestamp", "c", format="%Y-%m-%dT%H"), "2024-01-31T07", datetime(2024, 1, 31, 7, tzinfo=UTC)),
        (Column("timestamp", "c", unit="seconds"), "1706686200", datetime(2024, 1, 31, 7, 30, tzinfo=UTC)),
        (Column("timestamp", "c", unit="seconds"), "1706686200.5", datetime(2024, 1, 31, 7, 30, 0, 500000, tzinfo=UTC)),
        (Column("timestamp", "c", unit="milliseconds"), "1706686200000", datetime(2024, 1, 31, 7, 30, tzinfo=UTC)),
        (Column("timestamp", "c", unit="seconds"), "9223372036854775807", None),
        # As time.time() prints it: what is beyond the microsecond is the noise of a float64.
        (
            Column("timestamp", "c", unit="seconds"),
            "1706686200.1234567",
            datetime(2024, 1, 31, 7, 30, 0, 123457, tzinfo=UTC),
        ),
        (Column("timestamp", "c"), "2024-01-31T07:30:00+01:00", datetime(2024, 1, 31, 6, 30, tzinfo=UTC)),
        (Column("timestamp", "c"), "0001-01-01", None),
        (Column("bool", "c"), " Yes ", True),
        (Column("string", "c"), "007", "007"),
    ],
)
def test_a_value_is_read_as_declared_or_not_at_all(tmp_path: Path, declared: Column, written: str, value: Any) -> None:
    place = csv(tmp_path, "c;d", f"{written};x")
    batch = files(place, delimiter=";").read_batch({"value": declared})
    assert batch.rows["value"].to_pylist() + [None] * batch.unreadable.num_rows == [value]
    assert [row["text"] for row in batch.unreadable.to_pylist()] in ([], [f"{written};x"])
    assert batch.unreadable.num_rows == (value is None and written not in declared.nulls)


@pytest.mark.parametrize(
    ("type_", "values", "read_as"),
    [
        ("int64", pa.array([1.0, 1.5, None, float("nan")]), [1, None, None, None]),
        ("int64", pa.array([2**63, 5], pa.uint64()), [None, 5]),
        ("int64", pa.array(["7", "x"]), [7, None]),
        ("float64", pa.array([1, None], pa.int8()), [1.0, None]),
        ("float64", pa.array([float("inf"), 2.5]), [None, 2.5]),
        ("string", pa.array([7, None]), ["7", None]),
        ("string", pa.array([7.0, 7.5, None]), ["7", "7.5", None]),
        ("int64", pa.array([True, None]), [None, None]),
        ("float64", pa.array([True, None]), [None, None]),
        ("float64", pa.array([2**53, 2**53 + 1]), [float(2**53), None]),
        (
            "timestamp",
            pa.array([0, 1, 2000], pa.timestamp("ns")),
            [*([datetime(1970, 1, 1, tzinfo=UTC)]), None, datetime(1970, 1, 1, 0, 0, 0, 2, UTC)],
        ),
        ("bool", pa.array([True, None]), [True, None]),
        ("timestamp", pa.array([0, None], pa.date32()), [datetime(1970, 1, 1, tzinfo=UTC), None]),
        (
            Column("timestamp", format="%Y%m%d"),
            pa.array([20240131, 20241331]),
            [datetime(2024, 1, 31, tzinfo=UTC), None],
        ),
        (Column("timestamp", unit="seconds"), pa.array([0.5]), [datetime(1970, 1, 1, 0, 0, 0, 500000, tzinfo=UTC)]),
    ],
)
def test_parquet_columns_of_other_types_change_no_value(
    tmp_path: Path, type_: Any, values: pa.Array, read_as: list[Any]
) -> None:
    pq.write_table(pa.table({"c": values}), tmp_path / "x.parquet")
    source = files(tmp_path / "x.parquet", format="parquet", unreadable="null")
    assert source.read({"c": type_})["c"].to_pylist() == read_as


@settings(max_examples=examples(15), deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(-(2**63), 2**63 - 1),
            st.floats(allow_nan=False, allow_infinity=False),
            st.text("ab ,\"'é\n\r\u2028\0"),
        ),
        min_size=1,
        max_size=5,
    )
)
def test_what_was_written_is_read_again(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[int, float, str]]
) -> None:
    import csv as writer

    place = tmp_path_factory.mktemp("written") / "x.csv"
    with place.open("w", newline="") as file:
        writer.writer(file).writerows([("n", "x", "s"), *((n, repr(x), s) for n, x, s in rows)])
    source = files(place, nulls=("no value",))
    found = source.read({"n": "int64", "x": "float64", "s": "string"})
    assert found["n"].to_pylist() == [n for n, _, _ in rows]
    assert found["x"].to_pylist() == [x for _, x, _ in rows]
    assert found["s"].to_pylist() == [s for _, _, s in rows]


@pytest.mark.parametrize("time", ["", "shop", "nosuch"])
def test_a_partition_needs_a_declared_timestamp(tmp_path: Path, time: str) -> None:
    with pytest.raises(BadBatch, match=rf"cut out by {time!r}(.|\n)*use_cases/shops/source\.py"):
        files(csv(tmp_path, *ROWS)).read(SCHEMA, FEBRUARY, time)


def test_a_column_of_an_unknown_type_is_refused() -> None:
    with pytest.raises(PerennialError, match=r"type 'integer'(.|\n)*int64"):
        Column("integer")


def test_a_row_id_knows_nothing_of_what_is_learnt_later() -> None:
    rows = pa.table({"a": ["x", "x", "y"], "label": [1, 2, 3]})
    again = pa.table({"a": ["y", "x", "x"], "label": [3, 2, 1]})
    later = pa.table({"a": ["x", "y", "x"], "label": [None, 7, None]})
    ids, ids_again, ids_later = (
        {row["row_id"]: row["label"] for row in with_row_id(each, ["label"]).to_pylist()}
        for each in (rows, again, later)
    )
    assert ids == ids_again
    assert len(ids) == 3
    assert ids.keys() == ids_later.keys()


def test_a_day_is_cut_in_utc(tmp_path: Path) -> None:
    place = csv(tmp_path, "when", "2024-02-01T00:30:00+01:00", "2024-02-01T23:30:00-01:00", "2024-02-01T12:00")
    source = files(place)
    day = Cadence.DAILY.partition("2024-02-01")
    rows = source.read({"at": Column("timestamp", "when")}, day, "at")
    assert rows["at"].to_pylist() == [day.start + timedelta(hours=12)]
