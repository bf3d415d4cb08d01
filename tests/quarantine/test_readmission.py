"""Refused rows and batches: kept whole, released and discarded by people, and never lost by running again."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from datetime import timedelta
from itertools import count

import great_expectations.expectations as gxe
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from perennial import lake, quarantine
from perennial.errors import BadBatch, InvalidParams, PerennialError
from perennial.ingestion import ingest
from perennial.partitions import Partition
from perennial.quarantine import review
from perennial.reporting import partition_status
from perennial.use_case import UseCase

pytestmark = pytest.mark.usefixtures("project")
WHO = {"actor": "ada", "reason": "I looked at the meter"}
DAYS = count()
HIGH = "expect_column_values_to_be_between(kwh)"


@pytest.fixture
def day(energy) -> Partition:
    """A partition of its own for each test."""
    return energy.cadence.at(energy.first.start + timedelta(days=next(DAYS)))


@pytest.fixture
def source(energy, monkeypatch) -> Callable[[Callable[[pa.Table], pa.Table]], None]:
    """Replace what the source sends by a change of it."""
    module = energy.module("source")
    original = module.readings

    def change(how: Callable[[pa.Table], pa.Table]) -> None:
        monkeypatch.setattr(module, "readings", lambda partition: how(original(partition)))

    return change


@pytest.fixture
def suite(energy, monkeypatch) -> Callable[..., None]:
    """Replace the suite of raw readings."""

    def change(*expectations: gxe.Expectation) -> None:
        monkeypatch.setattr(energy.module("expectations"), "readings", lambda partition: list(expectations))

    return change


def with_kwh(*values: float | None) -> Callable[[pa.Table], pa.Table]:
    """The first rows have these readings."""

    def how(rows: pa.Table) -> pa.Table:
        kwh = rows["kwh"].to_pylist()
        return rows.set_column(3, "kwh", pa.array([*values, *kwh[len(values) :]], pa.float64()))

    return how


def between(high: float = 1000) -> gxe.Expectation:
    return gxe.ExpectColumnValuesToBeBetween(column="kwh", min_value=-100, max_value=high, severity="critical")


def readings(day: Partition) -> list[float]:
    return lake.read("energy.readings", partitions=[day.key])["kwh"].to_pylist()


def states(energy: UseCase, day: Partition) -> dict[str, int]:
    found: dict[str, int] = {}
    for item in quarantine.list_items(energy, day, None):
        found[item.state] = found.get(item.state, 0) + 1
    reported = {row.partition: row.waiting for row in partition_status.status(energy).partitions}
    assert reported.get(day.key, 0) == found.get("waiting", 0), "`perennial status` counts the same"
    return found


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


def test_a_row_that_passes_the_current_suite_is_released(energy, day, source, suite) -> None:
    source(with_kwh(5000))
    ingest.ingest_partition(energy, day)
    assert 5000 not in readings(day)
    suite(between(high=10_000))
    assert len(review.release(energy, day, **WHO).decided) == 1
    assert ingest.ingest_partition(energy, day)["quarantined"] == 0
    assert 5000 in readings(day)


def test_a_released_row_stays_when_its_source_no_longer_gives_it(energy, day, source, suite) -> None:
    source(with_kwh(5000))
    ingest.ingest_partition(energy, day)
    suite(between(high=10_000))
    review.release(energy, day, **WHO)
    source(lambda rows: rows.slice(1))
    assert ingest.ingest_partition(energy, day)["released"] == 1
    assert ingest.ingest_partition(energy, day)["released"] == 1
    assert readings(day).count(5000) == 1
    assert states(energy, day) == {"released": 1}


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


def test_a_corrected_row_that_has_arrived_wins(energy, day, source, suite) -> None:
    source(with_kwh(5000))
    ingest.ingest_partition(energy, day)
    review.release(energy, day, accept=[HIGH], **WHO)
    source(with_kwh(50))
    assert ingest.ingest_partition(energy, day)["released"] == 0
    assert 50 in readings(day)
    assert 5000 not in readings(day)
    source(lambda rows: rows.slice(1))
    ingest.ingest_partition(energy, day)
    assert 5000 not in readings(day), "superseded for good, also when the source forgets the corrected row"


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


def test_a_released_row_can_be_taken_back(energy, day, source) -> None:
    source(with_kwh(5000))
    ingest.ingest_partition(energy, day)
    (released,) = review.release(energy, day, accept=[HIGH], **WHO).decided
    ingest.ingest_partition(energy, day)
    assert 5000 in readings(day)
    review.discard(energy, day, named=[released.item], **WHO)
    ingest.ingest_partition(energy, day)
    assert 5000 not in readings(day)


def test_releasing_twice_is_releasing_once(energy, day, source) -> None:
    source(with_kwh(5000))
    ingest.ingest_partition(energy, day)
    review.release(energy, day, accept=[HIGH], **WHO)
    before = lake.snapshot("energy.quarantine_decisions")
    assert len(review.release(energy, day, accept=[HIGH], **WHO).decided) == 1
    assert lake.snapshot("energy.quarantine_decisions") == before


def test_a_stricter_suite_rejects_a_released_row_again(energy, day, source, suite) -> None:
    source(with_kwh(5000))
    ingest.ingest_partition(energy, day)
    suite(between(high=10_000))
    review.release(energy, day, **WHO)
    suite(between(high=2000))
    assert ingest.ingest_partition(energy, day)["released"] == 0
    (item,) = quarantine.list_items(energy, day)
    assert item.decision.action == "refused"
    assert HIGH in item.decision.reason


def test_what_was_refused_is_kept_when_the_source_changes(energy, day, source) -> None:
    source(with_kwh(5000))
    ingest.ingest_partition(energy, day)
    source(lambda rows: rows)
    ingest.ingest_partition(energy, day)
    assert states(energy, day) == {"superseded": 1}
    assert quarantine.list_items(energy, day) == []


def test_a_decision_needs_a_reason(energy, day, source) -> None:
    source(with_kwh(5000))
    ingest.ingest_partition(energy, day)
    for decide in (review.release, review.discard):
        with pytest.raises(InvalidParams, match="needs a reason"):
            decide(energy, day, actor="ada", reason=" ")


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
    held = quarantine.content(energy, item.content)
    assert held.column_names == ["site", "meter", "kwh"]
    assert held.schema.field("kwh").type == pa.string()
    outcome = review.release(energy, day, **WHO)
    assert [why for _, why in outcome.still_broken] == ["no column 'read_at'"]


def test_a_small_batch_may_be_right(energy, day, source) -> None:
    source(lambda rows: rows.slice(0, 40))
    with pytest.raises(BadBatch):
        ingest.ingest_partition(energy, day)
    assert review.release(energy, day, **WHO).still_broken
    review.release(energy, day, accept=["min_rows"], **WHO)
    assert ingest.ingest_partition(energy, day)["rows"] == 40
    assert ingest.ingest_partition(energy, day)["rows"] == 40


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


def test_a_released_batch_enters_while_its_source_fails(energy, day, source) -> None:
    source(lambda rows: rows.slice(0, 40))
    with pytest.raises(BadBatch):
        ingest.ingest_partition(energy, day)
    review.release(energy, day, accept=["min_rows"], **WHO)
    source(lambda rows: 1 / 0)
    assert ingest.ingest_partition(energy, day)["rows"] == 40
    source(lambda rows: rows)
    assert ingest.ingest_partition(energy, day)["rows"] > 100
    source(lambda rows: 1 / 0)
    with pytest.raises(BadBatch, match="ZeroDivisionError"):
        ingest.ingest_partition(energy, day)


def test_what_arrives_is_pending_while_a_released_batch_enters(energy, day, source) -> None:
    source(lambda rows: rows.slice(0, 40))
    with pytest.raises(BadBatch):
        ingest.ingest_partition(energy, day)
    review.release(energy, day, accept=["min_rows"], **WHO)
    source(lambda rows: rows.slice(0, 50))
    for _ in range(2):
        assert ingest.ingest_partition(energy, day)["rows"] == 40
    assert states(energy, day) == {"released": 1, "waiting": 1}


def test_a_batch_rejected_after_another_entered_is_pending(energy, day, source) -> None:
    small: Callable[[pa.Table], pa.Table] = lambda rows: rows.slice(0, 40)  # noqa: E731
    for how in (small, lambda rows: rows, small):
        source(how)
        try:
            ingest.ingest_partition(energy, day)
        except BadBatch:
            continue
    assert states(energy, day) == {"superseded": 1, "waiting": 1}


def test_a_batch_with_too_many_bad_rows_enters_if_accepted(energy, day, source) -> None:
    source(with_kwh(*[5000.0] * 60))
    with pytest.raises(BadBatch, match="may be quarantined"):
        ingest.ingest_partition(energy, day)
    review.release(energy, day, accept=["max_quarantined"], **WHO)
    assert ingest.ingest_partition(energy, day)["quarantined"] == 60


def test_two_batches_that_wait_are_not_both_meant(energy, day, source) -> None:
    for rows in (40, 50):
        source(lambda table, rows=rows: table.slice(0, rows))
        with pytest.raises(BadBatch):
            ingest.ingest_partition(energy, day)
    with pytest.raises(InvalidParams, match="2 rejected batches"):
        review.release(energy, day, accept=["min_rows"], **WHO)


def test_releases_and_runs_at_once_end_in_one_state(energy, day, source) -> None:
    source(with_kwh(5000))
    ingest.ingest_partition(energy, day)
    failed: list[Exception] = []

    def work(what: Callable[[], object]) -> None:
        try:
            what()
        except Exception as error:
            failed.append(error)

    threads = [
        threading.Thread(target=work, args=(what,))
        for what in (
            lambda: review.release(energy, day, accept=[HIGH], **WHO),
            lambda: ingest.ingest_partition(energy, day),
            lambda: review.release(energy, day, accept=[HIGH], **WHO),
            lambda: ingest.ingest_partition(energy, day),
        )
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [error for error in failed if not isinstance(error, InvalidParams)] == []
    assert ingest.ingest_partition(energy, day)["released"] == 1
    assert readings(day).count(5000) == 1
    assert len(quarantine.decisions(energy, day)) == 1


@pytest.mark.parametrize("place", ["store_rows", "replace", "batches", "settle"])
def test_a_run_killed_anywhere_is_completed_by_the_next(energy, day, source, monkeypatch, place: str) -> None:
    source(with_kwh(5000, 6000))
    ingest.ingest_partition(energy, day)
    review.release(energy, day, accept=[HIGH], **WHO)
    source(with_kwh(50, 6000))
    original = lake.replace if place in ("replace", "batches") else None

    class Killed(Exception):
        pass

    def dies(*arguments: object, **more: object) -> object:
        if place != "batches" or arguments[0] == "energy.batches":
            raise Killed
        return original(*arguments, **more)

    target = {
        "store_rows": (quarantine, "store_rows"),
        "replace": (lake, "replace"),
        "batches": (lake, "replace"),
        "settle": (quarantine, "supersede_batches"),
    }[place]
    with monkeypatch.context() as patched:
        patched.setattr(*target, dies)
        with pytest.raises(Killed):
            ingest.ingest_partition(energy, day)
    counts = ingest.ingest_partition(energy, day)
    assert (counts["released"], counts["quarantined"]) == (1, 0)
    assert readings(day).count(6000) == 1
    assert readings(day).count(50) == 1
    assert 5000 not in readings(day)


def test_a_damaged_file_is_named(energy, day, source, home) -> None:
    source(with_kwh(5000))
    ingest.ingest_partition(energy, day)
    (item,) = quarantine.list_items(energy, day)
    (file,) = home.glob(f"**/{item.content}.arrow")
    file.write_bytes(file.read_bytes()[:-3])
    with pytest.raises(PerennialError, match=f"{item.content}.arrow is missing or damaged"):
        review.release(energy, day, accept=[HIGH], **WHO)
    ingest.ingest_partition(energy, day)
    assert quarantine.content(energy, item.content).num_rows == 1, "written again from its source"


def test_the_quarantined_share_beside_its_baseline(energy, source) -> None:
    energy = energy.model_copy(update={"start": "2025-01-01", "end": None})
    days = list(energy.partition("2025-01-01").through(energy.partition("2025-01-04")))
    for day, bad in zip(days, (0, 1, 2, 20), strict=True):
        source(with_kwh(*[5000.0] * bad))
        ingest.ingest_partition(energy, day)
    rows = len(readings(days[0]))
    share = quarantine.share(energy, days[-1])
    assert share.now == pytest.approx(20 / rows)
    assert share.usual == pytest.approx(1 / rows, rel=0.1)
    assert share.partitions == 3
