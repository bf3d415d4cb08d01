"""What a source cannot read goes to quarantine with its batch: counted, shown, once, and never into the lake."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from typer.testing import CliRunner

from perennial import lake, quarantine
from perennial.cli import app
from perennial.errors import BadBatch, InvalidParams
from perennial.ingestion import ingest
from perennial.quarantine import review
from perennial.sources import Column, Files
from perennial.use_case import UseCase

pytestmark = pytest.mark.usefixtures("project")
DAYS = ["2024-01-20", "2024-01-21", "2024-01-22"]
SCHEMA = {"site": "string", "meter": "string", "read_at": Column("timestamp"), "kwh": "float64"}


@pytest.fixture
def energy(energy: UseCase) -> UseCase:
    return energy.model_copy(update={"start": DAYS[0]})


@pytest.fixture
def folder(energy: UseCase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of files, one a day, which the source reads and then works on as it likes."""
    files = Files("energy", str(tmp_path))

    def readings(partition: Any) -> pa.Table:
        rows = pl.DataFrame(files.read(SCHEMA, partition, "read_at"))
        return rows.with_columns(pl.col("meter").str.strip_chars()).to_arrow()

    monkeypatch.setattr(energy.module("source"), "readings", readings)
    for day in DAYS:
        write(tmp_path, day, lines(day))
    return tmp_path


def lines(day: str) -> list[str]:
    return [f"north,m{meter},{day}T{hour:02d}:00:00Z,{1 + hour / 4}" for meter in range(10) for hour in range(24)]


def write(folder: Path, name: str, rows: list[str]) -> None:
    (folder / f"{name}.csv").write_text("\n".join([",".join(SCHEMA), *rows]) + "\n")


def ingested(energy: UseCase, day: str) -> dict[str, Any]:
    return ingest.ingest_partition(energy, energy.partition(day))


def pending(energy: UseCase, day: str) -> list[dict[str, Any]]:
    items = quarantine.list_items(energy, energy.partition(day))
    return [json.loads(item.detail) | {"reasons": item.reasons} for item in items]


def test_unreadable_rows_are_quarantined_once_as_text(energy: UseCase, folder: Path) -> None:
    rows = lines(DAYS[0])
    rows[3], rows[50], rows[70] = "north,m0,20/01/2024,1", "north,m2,2024-01-20T02:00:00Z,1_01", "north,m2"
    write(folder, DAYS[0], rows)
    for _ in range(2):
        counts = ingested(energy, DAYS[0])
        assert (counts["rows"], counts["quarantined"]) == (237, 3)
        read = counts["read"]["readings"]
        assert (read["total"], read["rows"], read["unreadable"], read["elsewhere"]) == (720, 237, 3, 480)
        assert [(row["text"], row["line"], *row["reasons"]) for row in pending(energy, DAYS[0])] == [
            (rows[3], 5, "unreadable(read_at)"),
            (rows[50], 52, "unreadable(kwh)"),
            (rows[70], 72, "unreadable(line)"),
        ]
    assert lake.read("energy.readings", partitions=[DAYS[0]]).num_rows == 237
    assert (ingested(energy, DAYS[1])["rows"], pending(energy, DAYS[1])) == (240, [])


def test_an_unreadable_row_is_corrected_or_discarded(energy: UseCase, folder: Path) -> None:
    rows = lines(DAYS[0])
    rows[3], rows[50] = rows[3] + " EUR", rows[50] + ".5.5"
    write(folder, DAYS[0], rows)
    ingested(energy, DAYS[0])
    partition = energy.partition(DAYS[0])
    outcome = review.release(energy, partition, actor="a", reason="b")
    assert [why.split(":")[0] for _, why in outcome.still_broken] == ["it cannot be read as declared"] * 2
    with pytest.raises(InvalidParams, match="no row that could be loaded"):
        review.release(energy, partition, actor="a", reason="b", accept=["unreadable(kwh)"])
    first, second = quarantine.list_items(energy, partition)
    review.discard(energy, partition, actor="a", reason="b", named=[second.item])
    ingested(energy, DAYS[0])
    assert [item.item for item in quarantine.list_items(energy, partition)] == [first.item]
    write(folder, DAYS[0], lines(DAYS[0]))
    assert (ingested(energy, DAYS[0])["rows"], pending(energy, DAYS[0])) == (240, [])


def test_show_says_what_an_unreadable_row_breaks_and_its_fix(energy: UseCase, folder: Path) -> None:
    rows = lines(DAYS[0])
    rows[3] += ".5.5"
    write(folder, DAYS[0], rows)
    ingested(energy, DAYS[0])
    (item,) = quarantine.list_items(energy, energy.partition(DAYS[0]))
    shown = CliRunner().invoke(app, ["quarantine", "show", "energy", item.item, "--partition", DAYS[0]]).output
    assert "cannot be read as float64" in shown
    assert "correct it at its source, or how source.py reads it" in shown


def test_records_of_no_partition_are_kept_by_the_first(energy: UseCase, folder: Path) -> None:
    (folder / "broken.csv").write_bytes(b"site,meter,read_at,kwh\nn\xf6rth,m1,2024-01-21T00:00:00Z,1\nx,m1,never,1\n")
    first, again, second = ingested(energy, DAYS[0]), ingested(energy, DAYS[0]), ingested(energy, DAYS[1])
    assert first["quarantined"] == again["quarantined"] == 2
    assert (second["quarantined"], second["read"]["readings"]["elsewhere"]) == (0, 482)
    assert {row["problem"] for row in pending(energy, DAYS[0])} == {"line 2: it is not utf-8"}
    assert first["rows"] == second["rows"] == 240
    assert pending(energy, DAYS[1]) == []


def test_a_file_of_no_partition_does_not_reject_a_batch(energy: UseCase, folder: Path) -> None:
    (folder / "broken.csv").write_bytes(b"site,meter,read_at,kwh\n" + b"n\xf6rth,m1,2024-01-21T00:00:00Z,1\n" * 500)
    counts = ingested(energy, DAYS[2])
    assert (counts["rows"], counts["quarantined"]) == (240, 500)


def test_too_many_unreadable_rows_reject_the_batch(energy: UseCase, folder: Path) -> None:
    rows = [row if number % 5 else f"{row.rpartition(',')[0]},EUR 1" for number, row in enumerate(lines(DAYS[0]))]
    write(folder, DAYS[0], rows)
    with pytest.raises(
        BadBatch, match=r"48 of 240 rows (.|\n)*unreadable\(kwh\): 48 rows(.|\n)*csv, line 2: column 'kwh'"
    ):
        ingested(energy, DAYS[0])
    partition = energy.partition(DAYS[0])
    assert "batch" in {item.kind for item in quarantine.list_items(energy, partition)}
    (batch,) = (item.item for item in quarantine.list_items(energy, partition) if item.kind == "batch")
    review.release(energy, partition, actor="a", reason="b", named=[batch], accept=["max_quarantined"])
    counts = ingested(energy, DAYS[0])
    assert (counts["rows"], counts["quarantined"]) == (192, 48)
    assert {row["text"] for row in pending(energy, DAYS[0]) if "text" in row} == set(rows[::5])
