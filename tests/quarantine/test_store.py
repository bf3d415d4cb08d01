"""Quarantined rows and batches are kept whole, once."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from quarantine_cases import HIGH, WHO, states, with_kwh

from perennial import lake, quarantine
from perennial.errors import BadBatch
from perennial.ingestion import ingest
from perennial.quarantine import review

pytestmark = pytest.mark.usefixtures("project")


def test_a_quarantined_row_keeps_content_types_and_reasons(energy, day, source) -> None:
    source(with_kwh(5000.25))
    counts = ingest.ingest_partition(energy, day)
    assert (counts["quarantined"], counts["released"]) == (1, 0)
    (item,) = quarantine.list_items(energy, day)
    row = quarantine.content(energy, item.content).slice(item.position, 1)
    assert row.schema == energy.module("source").readings(day).schema
    assert row["kwh"].to_pylist() == [5000.25]
    assert item.reasons == (HIGH,)
    assert item.suite
    assert item.code_version
    assert json.loads(item.detail)["kwh"] == 5000.25


def test_ingesting_again_changes_nothing(energy, day, source) -> None:
    source(with_kwh(5000, 6000))
    first = ingest.ingest_partition(energy, day)
    tables = [f"energy.{name}" for name in ("readings", "quarantine", "batches", "validations")]
    before = lake.snapshots(tables)
    assert ingest.ingest_partition(energy, day) == first
    assert lake.snapshots(tables) == before


def test_what_was_refused_is_kept_when_the_source_changes(energy, day, source) -> None:
    source(with_kwh(5000))
    ingest.ingest_partition(energy, day)
    source(lambda rows: rows)
    ingest.ingest_partition(energy, day)
    assert states(energy, day) == {"superseded": 1}
    assert quarantine.list_items(energy, day) == []


def test_a_rejected_batch_is_stored_once_and_stops_the_run(energy, day, source) -> None:
    source(lambda rows: rows.slice(0, 40))
    for _ in range(2):
        with pytest.raises(BadBatch, match=r"40 rows arrived.*It is kept in quarantine as"):
            ingest.ingest_partition(energy, day)
    (item,) = quarantine.list_items(energy, day)
    assert (item.kind, item.rows, item.reasons) == ("batch", 40, ("min_rows",))
    assert quarantine.content(energy, item.content).num_rows == 40


def test_a_batch_without_a_column_keeps_its_types(energy, day, source) -> None:
    def broken(rows: pa.Table) -> pa.Table:
        return rows.drop_columns(["read_at"]).set_column(2, "kwh", pc.cast(rows["kwh"], pa.string()))

    source(broken)
    with pytest.raises(BadBatch, match="no column 'read_at'"):
        ingest.ingest_partition(energy, day)
    (item,) = quarantine.list_items(energy, day)
    kept = quarantine.content(energy, item.content)
    assert kept.column_names == ["site", "meter", "kwh"]
    assert kept.schema.field("kwh").type == pa.string()
    outcome = review.release(energy, day, **WHO)
    assert [why for _, why in outcome.still_broken] == ["no column 'read_at'"]
