"""What of a partition is in quarantine, in a few lines: how much of each raw table, why, and where to review it."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from perennial import UseCase, discovery
from perennial.errors import BadBatch
from perennial.ingestion import ingest
from perennial.quarantine import list_items, review
from perennial.quarantine.summary import summarize

BETWEEN = "expect_column_values_to_be_between(kwh)"
PAGES = "http://127.0.0.1:8080/perennial"


@pytest.fixture
def energy(home) -> UseCase:
    return discovery.load("energy")


def ingest_with(energy: UseCase, day: str, monkeypatch: pytest.MonkeyPatch, **columns: list[Any]) -> None:
    """Ingest a day of `energy` whose first readings have other values."""
    module = energy.module("source")
    source = module.readings

    def readings(partition: Any) -> pa.Table:
        rows = source(partition)
        for name, values in columns.items():
            place = rows.schema.get_field_index(name)
            rows = rows.set_column(place, name, pa.array([*values, *rows[name].to_pylist()[len(values) :]]))
        return rows

    with monkeypatch.context() as patched:
        patched.setattr(module, "readings", readings)
        ingest.ingest_partition(energy, energy.partition(day))


def test_a_clean_partition_has_no_lines(energy, monkeypatch) -> None:
    ingest_with(energy, "2024-01-01", monkeypatch)
    summary = summarize(energy, "2024-01-01")
    assert summary.is_empty
    assert list(summary.lines()) == []


def test_rows_are_counted_by_expectation_and_review(energy, monkeypatch) -> None:
    day = energy.partition("2024-01-02")
    ingest_with(energy, day.key, monkeypatch, kwh=[5000.0, 6000.0, 7000.0])
    pages = [
        f"review: {PAGES}/use_cases/energy/partitions/2024-01-02/quarantine",
        f"expectations: {PAGES}/validations/energy/2024-01-02",
    ]
    total = summarize(energy, day.key).tables[0].loaded + 3
    assert list(summarize(energy, day.key).lines()) == [
        f"readings: 3 of {total} rows quarantined: {BETWEEN} (3); 3 pending review",
        *pages,
    ]

    one = list_items(energy, day)[0].item
    review.discard(energy, day, named=[one], actor="ann", reason="a broken meter")
    assert list(summarize(energy, day.key).lines()) == [
        f"readings: 3 of {total} rows quarantined: {BETWEEN} (3); 2 pending review",
        *pages,
    ]
    told = summarize(energy, day.key).as_json()
    assert told["tables"] == [
        {
            "table": "readings",
            "loaded": total - 3,
            "quarantined": 3,
            "reasons": {BETWEEN: 3},
            "pending": 2,
            "rejected_batches": [],
        }
    ]
    ingest_with(energy, day.key, monkeypatch)
    assert summarize(energy, day.key).is_empty, "the source sends good rows now"


def test_a_rejected_batch_is_named_with_its_reasons(energy, monkeypatch) -> None:
    with pytest.raises(BadBatch):
        ingest_with(energy, "2024-01-03", monkeypatch, kwh=[5000.0] * 200)
    summary = summarize(energy, "2024-01-03")
    (table,) = summary.tables
    assert table.loaded is None
    assert table.pending == 1
    ((rows, reasons),) = table.rejected
    assert "max_quarantined" in reasons
    assert str(table) == (
        f"readings: a batch of {rows} rows rejected as a whole: {'; '.join(reasons)}; 1 pending review"
    )
    assert summary.as_json()["tables"][0]["rejected_batches"] == [{"rows": rows, "reasons": list(reasons)}]


def test_the_summary_counts_what_the_pages_count(energy) -> None:
    from perennial.reporting import partition_status

    counted = {row.partition: row.waiting for row in partition_status.status(energy).partitions}
    for key, waiting in counted.items():
        assert sum(table.pending for table in summarize(energy, key).tables) == waiting


def test_an_unreadable_lake_is_said_and_is_no_error(energy, monkeypatch) -> None:
    from perennial.errors import ServiceUnavailable
    from perennial.quarantine import summary

    def records(*_: Any) -> None:
        raise ServiceUnavailable("The lake's catalog does not answer.", "Start it.")

    monkeypatch.setattr(summary.lake_cache, "records", records)
    told = summarize(energy, "2024-01-02")
    assert next(told.lines()) == "What was quarantined is not known: The lake's catalog does not answer."
    assert told.as_json()["problem"] == "The lake's catalog does not answer."
