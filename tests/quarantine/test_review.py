"""Releases and discards by people: what is decided, refused and recorded."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest
from quarantine_cases import HIGH, WHO, readings, states, with_kwh

from perennial import lake, quarantine
from perennial.errors import BadBatch, InvalidParams
from perennial.ingestion import ingest
from perennial.quarantine import review

pytestmark = pytest.mark.usefixtures("project")


def test_a_row_that_is_still_broken_is_not_released(energy, day, source) -> None:
    source(with_kwh(5000))
    ingest.ingest_partition(energy, day)
    outcome = review.release(energy, day, **WHO)
    assert not outcome.decided
    assert [why for _, why in outcome.still_broken] == [HIGH]
    assert states(energy, day) == {"waiting": 1}


def test_what_a_person_accepts_of_a_row_is_recorded(energy, day, source) -> None:
    source(with_kwh(5000, 7000))
    ingest.ingest_partition(energy, day)
    low = next(item for item in quarantine.list_items(energy, day) if json.loads(item.detail)["kwh"] == 5000)
    review.release(energy, day, named=[low.item[:8]], accept=[HIGH], **WHO)
    assert states(energy, day) == {"releasing": 1, "waiting": 1}
    counts = ingest.ingest_partition(energy, day)
    assert (counts["quarantined"], counts["released"]) == (1, 1)
    assert 5000 in readings(day)
    assert 7000 not in readings(day)
    (decision,) = quarantine.decisions(energy, day).values()
    assert (decision.actor, decision.reason, decision.accepted) == ("ada", WHO["reason"], frozenset({HIGH}))


def test_keys_and_times_cannot_be_accepted(energy, day, source) -> None:
    source(lambda rows: pa.concat_tables([rows, rows.slice(0, 1)]))
    ingest.ingest_partition(energy, day)
    unique = "expect_compound_columns_to_be_unique(site, meter, read_at)"
    with pytest.raises(InvalidParams, match="cannot be accepted"):
        review.release(energy, day, accept=[unique], **WHO)
    with pytest.raises(InvalidParams, match=r"breaks 'nothing_like_it'(.|\n)*It breaks expect_compound"):
        review.release(energy, day, accept=["nothing_like_it"], **WHO)


def test_one_of_two_rows_with_one_key_may_be_the_right_one(energy, day, source) -> None:
    source(lambda rows: pa.concat_tables([rows, with_kwh(42.5)(rows).slice(0, 1)]))
    ingest.ingest_partition(energy, day)
    right = next(item for item in quarantine.list_items(energy, day) if json.loads(item.detail)["kwh"] == 42.5)
    review.release(energy, day, named=[right.item], **WHO)
    assert ingest.ingest_partition(energy, day)["quarantined"] == 1
    assert 42.5 in readings(day)


def test_rows_that_exclude_each_other_do_not_both_return(energy, day, source) -> None:
    source(lambda rows: pa.concat_tables([rows, with_kwh(42.5)(rows).slice(0, 1)]))
    ingest.ingest_partition(energy, day)
    outcome = review.release(energy, day, **WHO)
    assert len(outcome.still_broken) == 2
    assert not outcome.decided


def test_a_corrected_row_prevents_a_release(energy, day, source) -> None:
    source(with_kwh(5000))
    ingest.ingest_partition(energy, day)
    wrong = quarantine.list_items(energy, day)
    source(with_kwh(50))
    ingest.ingest_partition(energy, day)
    assert quarantine.list_items(energy, day) == []
    with pytest.raises(InvalidParams, match="is named"):
        review.release(energy, day, named=[wrong[0].item], accept=[HIGH], **WHO)


def test_a_discarded_row_is_not_pending_but_kept(energy, day, source) -> None:
    source(with_kwh(5000))
    ingest.ingest_partition(energy, day)
    review.discard(energy, day, **WHO)
    assert ingest.ingest_partition(energy, day)["quarantined"] == 1
    assert states(energy, day) == {"discarded": 1}
    (item,) = quarantine.list_items(energy, day, None)
    assert quarantine.content(energy, item.content).num_rows == 1


def test_releasing_twice_is_releasing_once(energy, day, source) -> None:
    source(with_kwh(5000))
    ingest.ingest_partition(energy, day)
    review.release(energy, day, accept=[HIGH], **WHO)
    before = lake.snapshot("energy.quarantine_decisions")
    assert len(review.release(energy, day, accept=[HIGH], **WHO).decided) == 1
    assert lake.snapshot("energy.quarantine_decisions") == before


def test_a_decision_needs_a_reason(energy, day, source) -> None:
    source(with_kwh(5000))
    ingest.ingest_partition(energy, day)
    for decide in (review.release, review.discard):
        with pytest.raises(InvalidParams, match="needs a reason"):
            decide(energy, day, actor="ada", reason=" ")


def test_a_batch_can_be_released_again_by_whoever_was_cut_off(energy, day, source) -> None:
    source(lambda rows: rows.slice(0, 40))
    with pytest.raises(BadBatch):
        ingest.ingest_partition(energy, day)
    first = review.release(energy, day, accept=["min_rows"], **WHO)
    before = lake.snapshots(["energy.quarantine_decisions"])
    again = review.release(energy, day, accept=["min_rows"], **WHO)
    assert [item.item for item in again.decided] == [item.item for item in first.decided]
    assert lake.snapshots(["energy.quarantine_decisions"]) == before
    assert ingest.ingest_partition(energy, day)["rows"] == 40


def test_two_batches_that_wait_are_not_both_meant(energy, day, source) -> None:
    for rows in (40, 50):
        source(lambda table, rows=rows: table.slice(0, rows))
        with pytest.raises(BadBatch):
            ingest.ingest_partition(energy, day)
    with pytest.raises(InvalidParams, match="2 rejected batches"):
        review.release(energy, day, accept=["min_rows"], **WHO)
