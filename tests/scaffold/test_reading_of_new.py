"""What `perennial new` writes reads every record of the files: as a value, or as text in quarantine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import new_cases
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from perennial import discovery, lake, quarantine
from perennial.errors import BadBatch, InvalidParams
from perennial.ingestion import ingest
from perennial.scaffold import profiling, rendering
from perennial.use_case import UseCase


def rows(months: list[int]) -> list[list[str]]:
    """Four shops a day, every other of them with a name that begins like a comment."""
    random = np.random.default_rng(months[0])
    return [
        [f"{'#' * (shop % 2)}{1000 + shop}", f"2023-{month:02d}-{day:02d}", str(staff), f"{10 + shop + noise:.2f}"]
        for month in months
        for day in range(1, 29)
        for shop, staff, noise in zip(range(4), random.integers(0, 9, 4), random.normal(0, 1, 4), strict=True)
    ]


def write(place: Path, rows: list[list[str]], ends: str = "\n") -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(ends.join(",".join(row) for row in [["id", "day", "staff", "sold"], *rows]) + "\n", newline="")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shops")
    write(folder / "h1.csv", rows([1, 2, 3]), "\r\n")
    write(folder / "H2.CSV", rows([4, 5]))
    write(folder / "deep/h3.csv", rows([6]))
    write(folder / ".h1.csv", rows([1]))
    (folder / "empty.csv").touch()
    return folder


@pytest.fixture(scope="module")
def shops(project: Path, folder: Path) -> Iterator[UseCase]:
    made = new_cases.create(project, "new_shops", str(folder), label="sold", key=["id"], time="day")
    assert new_cases.about(made, "files") == "2 files of the folder are not read"
    with new_cases.on_the_path(project):
        yield discovery.load("new_shops").model_copy(update={"end": None})


def test_every_row_of_a_folder_is_loaded(shops: UseCase, folder: Path) -> None:
    months = list(shops.first.through(shops.partition("2023-06")))
    counts = [ingest.ingest_partition(shops, month) for month in months]
    assert [(each["rows"], each["quarantined"]) for each in counts] == [(112, 0)] * 6
    assert {each["read"]["observations"]["total"] for each in counts} == {6 * 112}
    loaded = lake.read("new_shops.observations", partitions=[month.key for month in months])
    assert {name for name in loaded["id"].to_pylist() if name.startswith("#")} == {"#1001", "#1003"}


def test_a_later_file_loses_nothing(shops: UseCase, folder: Path) -> None:
    written = rows([7])
    changed = {10: (1, "05/07/2023"), 30: (3, "EUR 120"), 50: (3, "1_01"), 70: (2, "3.5"), 90: (0, "#7\n8")}
    for number, (column, value) in changed.items():
        written[number][column] = value if "\n" not in value else f'"{value}"'
    write(folder / "h4.csv", written)
    july = shops.partition("2023-07")
    counts = ingest.ingest_partition(shops, july)
    assert (counts["rows"], counts["quarantined"]) == (109, 3)
    pending = {json.loads(item.detail)["text"]: item.reasons for item in quarantine.list_items(shops, july)}
    assert pending == {
        ",".join(written[10]): ("unreadable(day)",),
        ",".join(written[30]): ("unreadable(sold)",),
        ",".join(written[50]): ("unreadable(sold)",),
    }
    loaded = lake.read("new_shops.observations", partitions=["2023-07"])
    assert 3.5 in loaded["staff"].to_pylist()
    assert "#7\n8" in loaded["id"].to_pylist()


def test_a_renamed_column_is_an_error_for_its_month_only(shops: UseCase, folder: Path) -> None:
    write(folder / "h5.csv", rows([8]))
    text = (folder / "h5.csv").read_text()
    (folder / "h5.csv").write_text(text.replace("staff", "people", 1))
    with pytest.raises(BadBatch, match=r"h5\.csv lacks column 'staff'"):
        ingest.ingest_partition(shops, shops.partition("2023-08"))
    assert ingest.ingest_partition(shops, shops.partition("2023-06"))["rows"] == 112


def printed(rows: int = 300) -> pd.DataFrame:
    """Numbers as people print them."""
    random = np.random.default_rng(0)
    amounts = random.normal(500, 900, rows)
    return pd.DataFrame(
        {
            "day": pd.date_range("2023-01-01", periods=rows).strftime("%Y-%m-%d"),
            "dollars": [f"${value:,.2f}" if value > 0 else f"(${-value:,.2f})" for value in amounts],
            "share": [f"{value:.1f}%" for value in random.uniform(0, 100, rows)],
            "french": [f"{value:,.2f}".translate({44: "\u202f", 46: ","}) for value in random.uniform(500, 9e3, rows)],
            "swiss": [f"{value:,.0f}".replace(",", "'") for value in random.uniform(500, 9e3, rows)],
            "euro": [f"EUR {value:.2f}" for value in random.uniform(5, 90, rows)],
            "german": [f"{value:,.2f} €".translate({44: ".", 46: ","}) for value in random.uniform(500, 9e3, rows)],
            "padded": [f" {value:.2f}\u00a0" for value in random.uniform(5, 90, rows)],
            "sparse": [f"{value:.2f}" if number % 50 else "-" for number, value in enumerate(random.random(rows))],
            "y": random.normal(0, 1, rows).round(3),
        }
    )


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_printed_numbers_are_numbers(tmp_path: Path, encoding: str) -> None:
    frame = printed()
    if encoding == "cp1252":
        frame = frame.drop(columns="french")
    made = new_cases.design(new_cases.csv(frame, tmp_path, sep=";", encoding=encoding), label="y", no_key=True)
    source = rendering.files(made)["include/use_cases/tried/source.py"]
    for line in (
        '"dollars": Column("float64", thousands=",", prefix="$", parentheses=True),',
        '"share": Column("float64", suffix="%"),',
        '"swiss": Column("float64", thousands="\'"),',
        '"euro": Column("float64", prefix="EUR"),',
        '"german": Column("float64", decimal=",", thousands=".", suffix="€"),',
        '"padded": "float64",',
        '"sparse": Column("float64", nulls=("-",)),',
        f'encoding="{"cp1252" if encoding == "cp1252" else "utf-8"}",',
    ):
        assert line in source
    low = {column.name: column.low for column in made.columns}
    assert low["dollars"] == pytest.approx(min(map(_dollars, frame["dollars"])))


def _dollars(text: str) -> float:
    number = float(text.strip("($)").replace(",", ""))
    return -number if text.startswith("(") else number


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a,b,c\n1,2,3,\n2,3,4,\n", "line 1 has 3 values and looks like the header, but most lines have 4"),
        (
            b"a,b\n" + b"1,2\n" * 50 + b"1,2,3\n" * 20,
            "20 of its 70 lines do not fit its header or its quotes. The first is line 52 of",
        ),
        (b"a,b\n1,\x81\xff\n", "line 2: it is not cp1252"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_by_line(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(InvalidParams, match=said):
        new_cases.design(str(tmp_path / "a.csv"), label="b")


def of_folders(folder: Path, *, has_own: bool) -> str:
    """Daily sales in a folder each year, whose name is no year of the rows' own."""
    random = np.random.default_rng(1)
    for year in ("a=2023", "a=__HIVE_DEFAULT_PARTITION__"):
        (folder / "b=9" / year).mkdir(parents=True)
        frame = pd.DataFrame({"day": pd.date_range("2023-01-01", periods=200), "y": random.normal(0, 1, 200)})
        frame = frame.assign(a=np.arange(200) % 7) if has_own else frame
        frame.assign(filename=frame.y * 2).to_parquet(folder / "b=9" / year / "x.parquet")
    return str(folder / "b=9")


@pytest.mark.parametrize("has_own", [True, False])
def test_new_sees_the_folders_that_the_source_reads(tmp_path: Path, has_own: bool) -> None:
    place = of_folders(tmp_path, has_own=has_own)
    with profiling.at(place, {}) as look:
        columns = {column.source: column for column in look.columns}
        assert "b" not in columns
        assert columns["a"].kind == "integer"
        assert set(columns["a"].values) == (set(range(7)) if has_own else {2023})
        assert columns["a"].missing == (0 if has_own else 200)


def test_new_uses_no_column_that_only_some_files_have(tmp_path: Path) -> None:
    place = of_folders(tmp_path, has_own=True)
    file = tmp_path / "b=9/a=2023/x.parquet"
    pd.read_parquet(file).drop(columns="a").to_parquet(file)
    with profiling.at(place, {}) as look:
        assert "of some files and a folder's name of others" in look.left_out["a"]


def test_new_reads_no_duration_as_a_number(tmp_path: Path) -> None:
    days = pd.date_range("2023-01-01", periods=200) + pd.to_timedelta([1] + [0] * 199, "ns")
    frame = pd.DataFrame({"day": days, "took": pd.to_timedelta(range(200), "h"), "y": range(200)})
    frame["month"] = frame.day.dt.to_period("M")
    pq.write_table(pa.Table.from_pandas(frame), tmp_path / "a.parquet", use_deprecated_int96_timestamps=True)
    with profiling.at(str(tmp_path / "a.parquet"), {}) as look:
        assert {column.source for column in look.columns} == {"day", "y"}
        assert "DURATION" in look.left_out["took"]
        assert "pandas.period" in look.left_out["month"]
        assert look.place.notes[0][0] == "1 rows will go to quarantine"
