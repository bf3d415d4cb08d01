"""Rows in the files = rows read + rows that cannot be read + rows of other partitions, by an independent count."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial import Cadence, Partition
from perennial.errors import BadBatch
from perennial.sources import Column, Files
from perennial.sources.csv_dialects import detect

SCHEMA = {"at": Column("timestamp", source="when"), "name": "string", "units": "int64", "price": Column("float64")}
HEADER = ["when", "name", "units", "price"]
FIRST = Cadence.MONTHLY.partition("2023-01")
MONTHS = list(FIRST.through(Cadence.MONTHLY.partition("2023-04")))
FORMATS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "plain": ("", bytes),
    "gzip": (".gz", gzip.compress),
    "bzip2": (".bz2", bz2.compress),
}

times = st.one_of(
    st.datetimes(datetime(2023, 1, 1), datetime(2023, 4, 30)).map(lambda at: at.isoformat()),
    st.sampled_from(["2023-01-05", "2023-2-7 10:00", " 2023-03-01T00:00:00Z", "2023-04-30T23:59:59.999999+00:00"]),
    st.sampled_from(
        ["", "05/09/2023", "epoch", "2023-02-30", "2023-01-05 (BC)", "#2023", "2023-01-01T00:00:00.0000001"]
    ),
)
texts = st.text(st.sampled_from("ab#' ,;\t|\"\\äß\n\r\x00_"), max_size=5)
wholes = st.one_of(
    st.integers(-(2**63), 2**63 - 1).map(str),
    st.sampled_from(["1_01", "10_1", "007", "3.0", "1.5", "1e5", "0x1F", " 12 ", "+5", "true", "", "NA", "far"]),
)
numbers = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.sampled_from([".5", "5.", "1e400", "infinity", "1,5", "EUR 120", "$5", "(3)", "", "9007199254740993", "1_0.5"]),
)
records = st.lists(
    st.one_of(
        st.tuples(times, texts, wholes, numbers).map(list),
        st.tuples(times, texts, wholes, numbers).map(list),
        st.tuples(times, texts, wholes, numbers).map(list),
        st.lists(st.sampled_from(["2023-01-02", "x", "7", "1.5"]), min_size=1, max_size=6),
    ),
    max_size=12,
)


@dataclass
class Written:
    """A file as it is written; `records` are what Python's own reader finds in it."""

    content: bytes
    records: list[list[str]]


@st.composite
def files(draw: Any, delimiter: str, quoting: int, encoding: str) -> Written:
    rows = draw(records)
    ends = draw(st.sampled_from([["\n"], ["\r\n"], ["\r\n", "\n"], ["\n", "\r\n", "\r"], ["\n\n", "\r\n"]]))
    text = io.StringIO(newline="")
    for number, row in enumerate([HEADER, *rows]):
        csv.writer(text, delimiter=delimiter, quoting=quoting, lineterminator=ends[number % len(ends)]).writerow(row)
    content = text.getvalue()
    if rows and draw(st.booleans()):
        content = content.rstrip("\r\n")
    found = [row for row in csv.reader(io.StringIO(content, newline=""), delimiter=delimiter) if row][1:]
    return Written(
        content.encode(encoding, "replace"), found if encoding.startswith("utf") else _recoded(found, encoding)
    )


def _recoded(rows: list[list[str]], encoding: str) -> list[list[str]]:
    return [[cell.encode(encoding, "replace").decode(encoding) for cell in row] for row in rows]


def moment(text: str) -> datetime | None:
    """ISO 8601, as this test understands it."""
    match = re.fullmatch(
        r"(\d{4})-(\d\d?)-(\d\d?)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,6}))?)?)?(Z|\+00:00)?", text.strip(" \t")
    )
    if match is None:
        return None
    parts = [int(part or 0) for part in match.groups()[:6]]
    try:
        return datetime(*parts, int((match[7] or "").ljust(6, "0")), tzinfo=UTC)
    except ValueError:
        return None


def whole(text: str) -> int | None:
    text = text.strip(" ")
    found = re.fullmatch(r"[-+]?(0|[1-9]\d*)(\.0)?", text)
    value = int(text.removesuffix(".0")) if found else None
    return value if value is not None and -(2**63) <= value < 2**63 else None


def number(text: str) -> float | None:
    if not re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?", text):
        return None
    value = float(text)
    is_exact = "e" in text or "." in text or int(text) == value
    return value if is_exact and abs(value) < float("inf") else None


def exactly(row: tuple[Any, ...]) -> str:
    return repr((row[0].timestamp(), *row[1:]))


def expected(records: list[list[str]]) -> tuple[list[tuple[datetime, tuple[Any, ...]]], list[list[str]]]:
    """Rows with their moment, and records that cannot be read."""
    nulls = ("", "NA")
    rows, unreadable = [], []
    for record in records:
        values = None
        if len(record) == len(HEADER) and moment(record[0]):
            units, price = (
                None if cell in nulls else read(cell) for cell, read in zip(record[2:], (whole, number), strict=True)
            )
            bad = [
                v is None and cell.strip(" ") not in nulls for v, cell in zip((units, price), record[2:], strict=True)
            ]
            if not any(bad):
                values = (moment(record[0]), record[1] if record[1] not in nulls else None, units, price)
        if values is None:
            unreadable.append(record)
        else:
            rows.append((values[0], values))
    return rows, unreadable


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_every_record_is_counted_once_and_unchanged(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("law")
    delimiter = data.draw(st.sampled_from(",;\t|"))
    quoting = data.draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]))
    encoding = data.draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"]))
    written = data.draw(st.lists(files(delimiter, quoting, encoding), min_size=1, max_size=3))
    for number_, file in enumerate(written):
        ending, pack = FORMATS[data.draw(st.sampled_from(list(FORMATS)))]
        place = folder / data.draw(st.sampled_from(["", "below", "below/that"])) / f"f{number_}.CSV{ending}"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(pack(file.content))
    source = Files("law", str(folder), delimiter=delimiter, encoding="cp1252", nulls=("", "NA"))
    batches = {month.key: source.read_batch(SCHEMA, month, "at") for month in MONTHS}
    rows, unreadable = expected([record for file in written for record in file.records])
    for month in MONTHS:
        batch = batches[month.key]
        assert sum(file.total for file in batch.files) == len(rows) + len(unreadable)
        assert all(file.total == file.rows + file.unreadable + file.elsewhere for file in batch.files)
        assert sum(file.rows for file in batch.files) == batch.rows.num_rows
        of_month = [values for at, values in rows if month.start <= at < month.end]
        read = [tuple(row.values()) for row in batch.rows.to_pylist()]
        assert Counter(map(exactly, read)) == Counter(map(exactly, of_month))
    kept = Counter()
    for number_, batch in enumerate(batches.values()):
        # What is of no partition is kept by the first that meets it.
        kept.update(row["text"] for row in batch.unreadable.to_pylist() if row["is_placed"] or not number_)
    parsed = [next(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)) for text in kept.elements()]
    assert sorted(parsed) == sorted(unreadable)


def place(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def rows_of(place: Path, month: Partition = FIRST, **how: Any) -> list[tuple[Any, ...]]:
    return [tuple(row.values())[1:] for row in Files("law", str(place), **how).read(SCHEMA, month, "at").to_pylist()]


GOOD = "when,name,units,price\n2023-01-01,a,1,0.5\n2023-01-02,#b,2,1.5\n"


def test_a_line_that_begins_with_a_hash_is_a_row(tmp_path: Path) -> None:
    text = "name,when,units,price\n#1000,2023-01-01,0,1\n1001,2023-01-02,7,2\n#1002,2023-01-03,7,2\n"
    assert [row[0] for row in rows_of(place(tmp_path, "a.csv", text))] == ["#1000", "1001", "#1002"]


def test_one_folder_is_listed_by_one_rule(tmp_path: Path) -> None:
    for name in ("h1.csv", "H2.CSV", "deep/er/h3.csv"):
        place(tmp_path, name, GOOD)
    for name in (".h.csv", "_delta_log/x.csv", "._h1.csv", ".ipynb_checkpoints/h1-checkpoint.csv", "h1.csv~", "a.md"):
        place(tmp_path, name, GOOD)
    place(tmp_path, "empty.csv", "")
    (tmp_path / "link.csv").symlink_to(tmp_path / "h1.csv")
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "nothing.csv").symlink_to(tmp_path / "gone")
    for where in (tmp_path, f"{tmp_path}/**/*.csv"):
        batch = Files("law", str(where)).read_batch(SCHEMA, FIRST, "at")
        assert batch.rows.num_rows == 6
        assert [Path(file.file).name for file in batch.files] == ["h3.csv", "h1.csv", "H2.CSV"]
        left_out = {Path(address).name: why for address, why in batch.left_out.items()}
        assert {"empty.csv": "is empty", ".h.csv": "is hidden"}.items() <= left_out.items()
        assert "is a link to" in left_out["link.csv"]
        assert "nothing" in left_out["nothing.csv"]


def test_a_file_in_another_dialect_is_read_in_its_own(tmp_path: Path) -> None:
    place(tmp_path, "a.csv", GOOD)
    place(tmp_path, "b.csv", "when;name;units;price\r\n2023-01-03;c,d;3;2.5\n2023-01-04;e;4;3.5\r\n")
    place(tmp_path, "c.csv", GOOD.replace("#b", "ä").encode("utf-16"))
    batch = Files("law", str(tmp_path)).read_batch(SCHEMA, FIRST, "at")
    assert batch.rows["name"].to_pylist() == ["a", "#b", "c,d", "e", "a", "ä"]
    assert ["delimiter=';'" in file.dialect for file in batch.files] == [False, True, False]


def test_a_file_of_no_known_encoding_is_quarantined_whole(tmp_path: Path) -> None:
    place(tmp_path, "a.csv", GOOD)
    place(tmp_path, "b.csv", GOOD.replace("#b", "ä").encode("cp1252"))
    batch = Files("law", str(tmp_path)).read_batch(SCHEMA, FIRST, "at")
    assert batch.rows.num_rows == 2
    assert [row["line"] for row in batch.unreadable.to_pylist()] == [2, 3]
    assert {row["problem"] for row in batch.unreadable.to_pylist()} == {"line 3: it is not utf-8"}
    assert not any(batch.unreadable["is_placed"].to_pylist())
    assert rows_of(tmp_path / "b.csv", encoding="cp1252")[1][0] == "ä"
    with pytest.raises(BadBatch, match=r"b\.csv cannot be read as csv: line 3: it is not utf-8"):
        rows_of(tmp_path / "b.csv")


def test_a_row_without_a_time_goes_with_its_neighbours(tmp_path: Path) -> None:
    lines = [f"2023-0{1 + day // 10}-1{day % 10},x,1,1" for day in range(20)]
    lines[3], lines[10], lines[15] = "05/09/2023,x,1,1", "12/10/2023,x,1,1", "x"
    path = place(tmp_path, "a.csv", "\n".join(["when,name,units,price", *lines]))
    for month, lost in ((MONTHS[0], [5, 12]), (MONTHS[1], [17]), (MONTHS[2], [])):
        batch = Files("law", str(path)).read_batch(SCHEMA, month, "at")
        assert [row["line"] for row in batch.unreadable.to_pylist()] == lost
        assert batch.files[0].elsewhere == 20 - batch.rows.num_rows - len(lost)


def test_a_bad_file_stops_only_partitions_that_it_has(tmp_path: Path) -> None:
    place(tmp_path, "a.csv", GOOD)
    place(tmp_path, "b.csv", GOOD.replace("2023-01", "2023-02").replace("units", "pieces"))
    assert len(rows_of(tmp_path)) == 2
    with pytest.raises(BadBatch, match=r"b\.csv lacks column 'units'"):
        rows_of(tmp_path, MONTHS[1])
    assert rows_of(tmp_path, MONTHS[2]) == []


def test_a_quote_that_is_never_closed_is_named(tmp_path: Path) -> None:
    lines = [f'2023-01-01,"n{number}",1,1' for number in range(50)]
    lines[20] = '2023-01-01,"never,1,1'
    path = place(tmp_path, "a.csv", "\n".join(["when,name,units,price", *lines[:21]]))
    batch = Files("law", str(path)).read_batch(SCHEMA, FIRST, "at")
    assert batch.rows.num_rows == 20
    assert batch.unreadable.to_pylist()[0]["problem"] == "a quote opens that is never closed"
    assert batch.unreadable.to_pylist()[0]["line"] == 22


@pytest.mark.parametrize(
    ("content", "delimiter", "quote", "escape", "skip", "encoding"),
    [
        (b"id,day,label\n#1000,2023-01-01,0\n1001,2023-01-02,7\n", ",", '"', "", 0, "utf-8"),
        (b"a;b\r\n1;2,5\n3;4,5\r\n", ";", '"', "", 0, "utf-8"),
        ("a|b\nä|2\n".encode("cp1252"), "|", '"', "", 0, "cp1252"),
        ("a\tb\nä\t2\n".encode("utf-16"), "\t", '"', "", 0, "utf-16"),
        ("a,b\nä,2\n".encode("utf-16-le"), ",", '"', "", 0, "utf-16-le"),
        ("\ufeffa,b\nä,2\n".encode(), ",", '"', "", 0, "utf-8"),
        (b"a,b\n'x,y',2\n'z',3\n", ",", "'", "", 0, "utf-8"),
        (b"a,b\nit's,2\n'n',3\n", ",", '"', "", 0, "utf-8"),
        (b'a,b\n"say \\"hi\\"",2\n"z",3\n', ",", '"', "\\", 0, "utf-8"),
        (b'a,b\n"C:\\",2\n"z",3\n', ",", '"', "", 0, "utf-8"),
        (b"All sales\n\na,b\n1,2\n2,3\n", ",", '"', "", 2, "utf-8"),
        (b"All sales,,\na,b,c\n1,2,3\n2,3,4\n", ",", '"', "", 1, "utf-8"),
        (b"# made by x, y\na,b,c\n1,2,3\n2,3,4\n", ",", '"', "", 1, "utf-8"),
        (b'text,n\n"a;b;c",1\n"d;e;f",2\n', ",", '"', "", 0, "utf-8"),
        (b"a\n1\n2\n", ",", '"', "", 0, "utf-8"),
    ],
)
def test_the_dialect_is_what_all_of_a_file_says(
    tmp_path: Path, content: bytes, delimiter: str, quote: str, escape: str, skip: int, encoding: str
) -> None:
    found = detect(str(place(tmp_path, "a.csv", content)), "cp1252")
    assert (found.delimiter, found.quote, found.escape) == (delimiter, quote, escape)
    assert (found.skip, found.encoding) == (skip, encoding)
