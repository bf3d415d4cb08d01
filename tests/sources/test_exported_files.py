"""Files as people and programs export them: each value is the one in the file, or its record is unreadable."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from perennial import Cadence
from perennial.batches import UNREADABLE, Batch, Collected, unreadable_rows
from perennial.errors import BadBatch
from perennial.sources import Column, Files
from perennial.sources.csv_dialects import detect

JANUARY = Cadence.MONTHLY.partition("2023-01")
SCHEMA = {"when": "timestamp", "name": "string", "v": "float64"}


def batch_of(place: Path, schema: dict[str, Any], **how: Any) -> Batch:
    return Files("shop", str(place), **how).read_batch(schema, JANUARY, "when")


def test_a_stray_quote_swallows_no_record_unseen(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(
        'when,name,v\n2023-01-02,"a",1\n2023-01-03,"5 inch,2\n2023-02-04,"b",3\n2023-01-05,"c",4\n'
    )
    batch = batch_of(tmp_path, SCHEMA)
    assert batch.rows["name"].to_pylist() == ["a", "c"]
    (record,) = batch.unreadable.to_pylist()
    assert record["text"] == '2023-01-03,"5 inch,2\n2023-02-04,"b",3'
    assert (record["line"], "out of place" in record["problem"]) == (3, True)


def test_text_of_several_lines_stays_text(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('when,name,v\n2023-01-02,"a\nb ""c""\n",1\n2023-01-03,d,2\n')
    batch = batch_of(tmp_path, SCHEMA)
    assert (batch.rows["name"].to_pylist(), batch.unreadable.num_rows) == (['a\nb "c"\n', "d"], 0)


@pytest.mark.parametrize(
    ("header", "row", "delimiter"),
    [
        ("day;v", "2023-01-01;7,5", ";"),
        ("day;v;w", "2023-01-01;7,5;1,25", ";"),
        ("day;v;t", "2023-01-01;7;a, b, c, d", ";"),
        ("day|v|t", "2023-01-01|7|a;b;c;d", "|"),
    ],
)
def test_a_header_is_no_title_however_long_the_file(tmp_path: Path, header: str, row: str, delimiter: str) -> None:
    file = tmp_path / "a.csv"
    file.write_text("\n".join([header, *[row] * 200]) + "\n")
    assert (detect(str(file)).delimiter, detect(str(file)).skip) == (delimiter, 0)


def test_a_column_of_the_file_goes_before_its_folders(tmp_path: Path) -> None:
    folder = tmp_path / "store=1"
    folder.mkdir()
    rows = pa.table({"when": [datetime(2023, 1, 2, tzinfo=UTC)] * 2, "store": [7, 8]})
    pq.write_table(rows, folder / "a.parquet")
    batch = batch_of(tmp_path, {"when": "timestamp", "store": "int64"}, format="parquet")
    assert batch.rows["store"].to_pylist() == [7, 8]


def test_moments_of_pandas_with_nanoseconds_are_read_exactly(tmp_path: Path) -> None:
    moments = pd.to_datetime(["2023-01-02 03:04:05.123456000", "2023-01-02 03:04:05.123456789"]).tz_localize("UTC")
    pq.write_table(pa.table({"when": pa.array(moments, pa.timestamp("ns", "UTC"))}), tmp_path / "a.parquet")
    batch = batch_of(tmp_path, {"when": "timestamp"}, format="parquet")
    assert batch.rows["when"].to_pylist() == [datetime(2023, 1, 2, 3, 4, 5, 123456, UTC)]
    assert batch.unreadable.num_rows == 1


@pytest.mark.parametrize("written", ["01.3", "007.5", "-01.3"])
def test_a_fraction_with_leading_zeros_is_a_code(tmp_path: Path, written: str) -> None:
    (tmp_path / "a.csv").write_text(f"when,name,v\n2023-01-02,a,{written}\n2023-01-02,b,0.3\n2023-01-02,c,.25\n")
    batch = batch_of(tmp_path, SCHEMA)
    assert (batch.rows["v"].to_pylist(), batch.unreadable.num_rows) == ([0.3, 0.25], 1)


def test_groups_of_thousands_have_no_exponent(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('when,name,v\n2023-01-02,a,"1,234e5"\n2023-01-02,b,"1,234.5"\n')
    batch = batch_of(tmp_path, SCHEMA | {"v": Column("float64", thousands=",")})
    assert (batch.rows["v"].to_pylist(), batch.unreadable.num_rows) == ([1234.5], 1)


def test_a_day_that_became_a_fraction_is_that_day(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("when,name,v\n20230102.0,a,1\n20230103,b,2\n20230104.5,c,3\n")
    batch = batch_of(tmp_path, SCHEMA | {"when": Column("timestamp", format="%Y%m%d")})
    assert [each.day for each in batch.rows["when"].to_pylist()] == [2, 3]
    assert batch.unreadable.num_rows == 1


def test_packed_files_are_unpacked_whatever_the_case(tmp_path: Path) -> None:
    (tmp_path / "A.CSV.GZ").write_bytes(gzip.compress(b"when,name,v\n2023-01-02,a,1\n"))
    assert batch_of(tmp_path, SCHEMA).rows["name"].to_pylist() == ["a"]


def test_a_file_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    content = b"when,name,v\n2023-01-02,a,1\n"
    (tmp_path / "a.csv").write_bytes(content)
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(content))
    with pytest.raises(BadBatch, match=r"holds a\.csv more than once"):
        batch_of(tmp_path, SCHEMA)


def test_a_damaged_page_does_not_stop_other_files(tmp_path: Path) -> None:
    for month in (1, 2):
        rows = pa.table({"when": [datetime(2023, month, 2, tzinfo=UTC)] * 5_000, "v": [float(n) for n in range(5_000)]})
        pq.write_table(rows, tmp_path / f"{month}.parquet", compression="zstd", use_dictionary=False)
    damaged = bytearray((tmp_path / "2.parquet").read_bytes())
    damaged[60:4_000] = bytes(3_940)
    (tmp_path / "2.parquet").write_bytes(damaged)
    batch = batch_of(tmp_path, {"when": "timestamp", "v": "float64"}, format="parquet")
    assert batch.rows.num_rows == 5_000
    assert [each["file"].endswith("2.parquet") for each in batch.unreadable.to_pylist()] == [True]


def test_long_decimals_are_never_rounded_unseen(tmp_path: Path) -> None:
    when = [datetime(2023, 1, 2, tzinfo=UTC)] * 2
    values = pa.array([Decimal("1.5"), Decimal("9007199254740.25")], pa.decimal128(38, 24))
    pq.write_table(pa.table({"when": when, "v": values}), tmp_path / "a.parquet")
    read = batch_of(tmp_path, {"when": "timestamp", "v": "float64"}, format="parquet")
    assert read.rows["v"].to_pylist() == [1.5, 9007199254740.25]
    longer = pa.array([Decimal(2**53 + 1), Decimal(1)], pa.decimal256(50, 0))
    pq.write_table(pa.table({"when": when, "v": longer}), tmp_path / "a.parquet")
    for type_ in ("int64", "float64", "string"):
        batch = batch_of(tmp_path, {"when": "timestamp", "v": type_}, format="parquet")
        assert (batch.rows.num_rows, batch.unreadable.num_rows) == (0, 2)


def test_equal_unreadable_records_of_one_read_are_several() -> None:
    record = dict.fromkeys(UNREADABLE.names) | {"file": "a", "text": "x", "is_placed": True}
    twice = unreadable_rows([record, record])
    collected = Collected([Batch(pa.table({}), twice), Batch(pa.table({}), unreadable_rows([record]))])
    assert collected.with_rows(pa.table({})).unreadable.num_rows == 2


def test_duckdb_still_reads_longer_decimals_as_doubles(tmp_path: Path) -> None:
    pq.write_table(pa.table({"v": pa.array([Decimal(1)], pa.decimal256(50, 0))}), tmp_path / "a.parquet")
    (kind,) = duckdb.sql(f"DESCRIBE FROM read_parquet('{tmp_path}/a.parquet')").fetchall()[0][1:2]
    assert kind == "DOUBLE", "if it knows them now, `LONG_DECIMAL` can go"


def test_spark_timestamps_with_nanoseconds_are_read_exactly(tmp_path: Path) -> None:
    nanoseconds = [1672628645123456789, None, 1672628645123456000, -1001]
    table = pa.table({"when": [datetime(2023, 1, 2, tzinfo=UTC)] * 4, "at": pa.array(nanoseconds, pa.timestamp("ns"))})
    pq.write_table(table, tmp_path / "a.parquet", use_deprecated_int96_timestamps=True)
    batch = batch_of(tmp_path, {"when": "timestamp", "at": "timestamp"}, format="parquet")
    assert batch.rows["at"].to_pylist() == [None, datetime(2023, 1, 2, 3, 4, 5, 123456, UTC)]
    assert ["123456789" in each["text"] for each in batch.unreadable.to_pylist()] == [True, False]
    assert "1969-12-31 23:59:59.999998999" in batch.unreadable["text"].to_pylist()[1]


def test_spark_timestamps_of_any_year_are_moments(tmp_path: Path) -> None:
    moments = [datetime(1500, 5, 6, 7, 8, 9, 1, UTC), datetime(9999, 12, 31, 23, 59, 59, 999999, UTC)]
    table = pa.table({"at": pa.array(moments, pa.timestamp("us", "UTC")), "n": [1, 2]})
    pq.write_table(table, tmp_path / "a.parquet", use_deprecated_int96_timestamps=True)
    file = Files("shop", str(tmp_path / "a.parquet"), format="parquet")
    assert file.read({"at": "timestamp"})["at"].to_pylist() == moments


@pytest.mark.parametrize("type_", ["float64", "int64", "string"])
def test_durations_and_periods_are_no_numbers(tmp_path: Path, type_: str) -> None:
    when = [datetime(2023, 1, 2, tzinfo=UTC)] * 2
    frame = pd.DataFrame(
        {"when": when, "v": pd.to_timedelta([1, 2], "h"), "p": pd.period_range("2023-01", periods=2, freq="M")}
    )
    frame.to_parquet(tmp_path / "a.parquet")
    duckdb.sql("SELECT TIMESTAMP '2023-01-02' AS \"when\", INTERVAL 1 DAY AS v").write_parquet(
        str(tmp_path / "i.parquet")
    )
    for column, kind in (("v", "DURATION"), ("p", "EXTENSION")):
        batch = Files("shop", str(tmp_path / "a.parquet"), format="parquet").read_batch(
            {"when": "timestamp", column: type_}, JANUARY, "when"
        )
        assert (batch.rows.num_rows, batch.unreadable.num_rows) == (0, 2)
        assert f"the file's type is {kind}" in batch.unreadable["problem"].to_pylist()[0]
    schema: dict[str, Any] = {"when": "timestamp", "v": type_}
    batch = Files("shop", str(tmp_path / "i.parquet"), format="parquet").read_batch(schema, JANUARY, "when")
    # A day has no length in text either.
    assert batch.rows.to_pylist() == ([] if type_ != "string" else [{"when": when[0], "v": "1 day"}])


@pytest.mark.parametrize(
    "name", ["file_row_number", "File_Row_Number", "filename", "file_index", "rowid", "record", "c1"]
)
def test_a_column_named_like_one_of_duckdb_is_a_column(tmp_path: Path, name: str) -> None:
    when = [datetime(2023, 1, 2, tzinfo=UTC), None, datetime(2023, 2, 2, tzinfo=UTC), datetime(2023, 1, 3, tzinfo=UTC)]
    pq.write_table(pa.table({"when": when, name: [7, 8, 9, 10]}), tmp_path / "a.parquet")
    batch = batch_of(tmp_path, {"when": "timestamp", name: "int64"}, format="parquet")
    assert batch.rows[name].to_pylist() == [7, 10]
    assert (batch.unreadable.num_rows, batch.files[0].elsewhere) == (1, 1)


def test_text_that_is_not_marked_as_text_is_text(tmp_path: Path) -> None:
    when = [datetime(2023, 1, 2, tzinfo=UTC)] * 2
    pq.write_table(pa.table({"when": when, "name": ["Zoë".encode(), b"\xff"]}), tmp_path / "a.parquet")
    batch = batch_of(tmp_path, {"when": "timestamp", "name": "string"}, format="parquet")
    assert (batch.rows["name"].to_pylist(), batch.unreadable.num_rows) == (["Zoë"], 1)


def test_duckdb_still_cuts_nanoseconds_of_int96_off(tmp_path: Path) -> None:
    table = pa.table({"v": pa.array([1_001], pa.timestamp("ns"))})
    pq.write_table(table, tmp_path / "a.parquet", use_deprecated_int96_timestamps=True)
    (kind,) = duckdb.sql(f"DESCRIBE FROM read_parquet('{tmp_path}/a.parquet')").fetchall()[0][1:2]
    assert kind == "TIMESTAMP", "if it keeps them now, `cut_off` can go"


def test_rows_of_wide_files_stay_together(tmp_path: Path) -> None:
    values = np.arange(120 * 40).reshape(40, 120)
    frame = pd.DataFrame(values, columns=[f"f{number}" for number in range(120)]).astype(str)
    frame.loc[3, "f1"], frame.loc[7, "f70"], frame.loc[7, "f119"] = "x", "y", "z"
    frame.insert(0, "when", "2023-01-02")
    frame.to_csv(tmp_path / "a.csv", index=False)
    schema: dict[str, Any] = {"when": "timestamp", **dict.fromkeys(frame.columns[1:], "int64")}
    batch = batch_of(tmp_path, schema, format="csv")
    assert batch.unreadable["reason"].to_pylist() == ["unreadable(f1)", "unreadable(f70); unreadable(f119)"]
    read = batch.rows.drop_columns("when")
    assert np.stack([column.to_numpy() for column in read.columns], 1).tolist() == np.delete(values, [3, 7], 0).tolist()


def test_quotes_after_backslashes_are_read_where_all_are_so(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('when,name,v\n2023-01-02,"say \\"hi\\"",1\n2023-01-03,"a\\\\b",2\n')
    batch = batch_of(tmp_path, SCHEMA)
    assert (batch.rows["name"].to_pylist(), batch.unreadable.num_rows) == (['say "hi"', "a\\b"], 0)
    assert "escape='\\\\'" in batch.files[0].dialect


def test_a_backslash_that_escapes_nothing_is_left_in(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('when,name,v\n2023-01-02,"say \\"hi\\"",1\n2023-01-03,C:\\temp,2\n')
    batch = batch_of(tmp_path, SCHEMA)
    (record,) = batch.unreadable.to_pylist()
    assert (batch.rows["name"].to_pylist(), record["line"]) == (["C:\\temp"], 2)
    assert (record["text"], record["problem"]) == ('2023-01-02,"say \\"hi\\"",1', "a quote in it is out of place")


@pytest.mark.parametrize("name", ['"a"b', '"a" b', '""a', '"a""b"c', '"a, "b", c"'])
def test_a_value_that_goes_on_after_its_quote_is_unreadable(tmp_path: Path, name: str) -> None:
    (tmp_path / "a.csv").write_text(f'when,name,v\n2023-01-02,{name},1\n2023-01-03,5" pipe,2\n2023-01-04,"c" ,3\n')
    batch = batch_of(tmp_path, SCHEMA)
    assert batch.rows["name"].to_pylist() == ['5" pipe', "c "]
    assert [record["line"] for record in batch.unreadable.to_pylist()] == [2]


def test_values_between_other_quotes_than_declared_lose_them(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("when,name,v\n2023-01-02,'a',1\n2023-01-03,'b, c',2\n2023-01-04,'d',3\n")
    batch = batch_of(tmp_path, SCHEMA)
    assert (batch.rows["name"].to_pylist(), batch.unreadable.num_rows) == (["a", "b, c", "d"], 0)
    assert 'quote="\'"' in batch.files[0].dialect


def test_apostrophes_around_some_values_are_part_of_them(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("when,name,v\n2023-01-02,'a',1\n2023-01-03,b,2\n")
    assert batch_of(tmp_path, SCHEMA).rows["name"].to_pylist() == ["'a'", "b"]


def test_a_file_whose_time_was_renamed_is_quarantined_whole(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("when,name,v\n2023-01-02,a,1\n")
    (tmp_path / "b.csv").write_text("at,name,v\n2023-01-03,b,2\n2023-01-04,c,3\n")
    batch = batch_of(tmp_path, SCHEMA)
    assert batch.rows["name"].to_pylist() == ["a"]
    assert batch.unreadable["text"].to_pylist() == ["2023-01-03,b,2", "2023-01-04,c,3"]
    assert "lacks column 'when', the time of its rows; it has at, name, v" in batch.unreadable["problem"][0].as_py()


def test_a_damaged_gzip_is_quarantined_whole(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("when,name,v\n2023-01-02,a,1\n")
    packed = gzip.compress("\n".join(["when,name,v", *["2023-01-03,b,2"] * 10_000]).encode())
    (tmp_path / "b.csv.gz").write_bytes(packed[: len(packed) // 2])
    batch = batch_of(tmp_path, SCHEMA)
    assert (batch.rows["name"].to_pylist(), batch.unreadable.num_rows > 0) == (["a"], True)
    assert "it cannot be read to its end" in batch.unreadable["problem"][0].as_py()
