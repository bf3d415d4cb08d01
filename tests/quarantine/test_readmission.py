"""Released rows and batches return with the next run, in the types of their table, and are never lost."""

from __future__ import annotations

import threading
from collections.abc import Callable
from decimal import Decimal
from itertools import count

import pyarrow as pa
import pytest
from quarantine_cases import HIGH, WHO, between, readings, states, with_kwh

from perennial import lake, quarantine
from perennial.errors import BadBatch, InvalidParams
from perennial.ingestion import ingest
from perennial.lake import column_types
from perennial.partitions import Partition
from perennial.quarantine import review
from perennial.quarantine.review import ReviewOutcome
from perennial.use_case import UseCase

pytestmark = pytest.mark.usefixtures("project")


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


def test_a_released_row_can_be_taken_back(energy, day, source) -> None:
    source(with_kwh(5000))
    ingest.ingest_partition(energy, day)
    (released,) = review.release(energy, day, accept=[HIGH], **WHO).decided
    ingest.ingest_partition(energy, day)
    assert 5000 in readings(day)
    review.discard(energy, day, named=[released.item], **WHO)
    ingest.ingest_partition(energy, day)
    assert 5000 not in readings(day)


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


def test_a_small_batch_may_be_right(energy, day, source) -> None:
    source(lambda rows: rows.slice(0, 40))
    with pytest.raises(BadBatch):
        ingest.ingest_partition(energy, day)
    assert review.release(energy, day, **WHO).still_broken
    review.release(energy, day, accept=["min_rows"], **WHO)
    assert ingest.ingest_partition(energy, day)["rows"] == 40
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


def test_releases_and_runs_at_once_end_in_one_state(energy, day, source) -> None:
    source(with_kwh(5000))
    ingest.ingest_partition(energy, day)
    failed: list[Exception] = []

    def work(act: Callable[[], object]) -> None:
        try:
            act()
        except Exception as error:
            failed.append(error)

    threads = [
        threading.Thread(target=work, args=(act,))
        for act in (
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


COLUMNS = count()


@pytest.fixture
def column() -> str:
    """A column of the readings that only this test has."""
    return f"extra_{next(COLUMNS)}"


@pytest.fixture
def send(energy, column, monkeypatch) -> Callable[..., None]:
    """Ingest a partition whose rows have these values in the column, the last one repeated, and whose first rows, so
    many, have readings to be refused; without the first `but` rows."""
    module = energy.module("source")
    original = module.readings

    def ingest_values(day: Partition, values: pa.Array, high: int = 0, but: int = 0) -> None:
        def readings(partition: Partition) -> pa.Table:
            rows = original(partition)
            kwh = [5000.0] * high + rows["kwh"].to_pylist()[high:]
            places = pa.array([min(row, len(values) - 1) for row in range(rows.num_rows)])
            return rows.set_column(3, "kwh", pa.array(kwh)).append_column(column, values.take(places)).slice(but)

        monkeypatch.setattr(module, "readings", readings)
        ingest.ingest_partition(energy, day)

    return ingest_values


@pytest.fixture
def in_lake(column) -> Callable[[Partition], list]:
    """The column's different values in the lake."""

    def values(day: Partition) -> list:
        return lake.read("energy.readings", partitions=[day.key])[column].unique().to_pylist()

    return values


def release(energy: UseCase, day: Partition) -> ReviewOutcome:
    return review.release(energy, day, accept=[HIGH], **WHO)


def test_a_released_row_is_not_rounded_to_the_batch(energy, day, column, send, in_lake) -> None:
    send(day, pa.array([0.1, 0.5]), high=1)
    release(energy, day)
    send(day, pa.array([0.5], pa.float32()), but=1)
    assert sorted(in_lake(day)) == [0.1, 0.5]


def test_a_batch_makes_room_for_a_released_row(energy, day, column, send, in_lake) -> None:
    send(day, pa.array([2**40, 1]), high=1)
    release(energy, day)
    send(day, pa.array([2], pa.int32()), but=1)
    assert sorted(in_lake(day)) == [2, 2**40]


def test_an_empty_column_takes_the_type_of_a_released_row(energy, day, column, send, in_lake) -> None:
    send(day, pa.array([0.25, 0.5]), high=1)
    release(energy, day)
    send(day, pa.nulls(1), but=1)
    assert set(in_lake(day)) == {None, 0.25}


def test_a_released_row_unfit_for_the_batch_names_both_types(energy, day, column, send, in_lake) -> None:
    send(day, pa.array([0.25, 0.5]), high=1)
    release(energy, day)
    send(day, pa.array([Decimal("0.5")]), but=1)
    assert in_lake(day) == [0.5]
    (decision,) = quarantine.decisions(energy, day).values()
    reason = f"It breaks the types of the batch: {column!r} is decimal128(1, 1) there and double here."
    assert (decision.action, decision.reason) == ("refused", reason)


def test_only_the_rows_that_fit_the_lake_are_released(energy, day, column, send) -> None:
    send(day.next, pa.array([1]))
    send(day, pa.array([2.5, 2.0, 3.0]), high=2)
    outcome = release(energy, day)
    assert [why for _, why in outcome.still_broken] == [
        f"the types of the lake: {column!r} is int64 there and double here",
    ]
    assert len(outcome.decided) == 1


@pytest.fixture
def kept(energy, day, send) -> Callable[..., None]:
    """Keep a batch of `day` as a whole, for its types, where another day has `there` in the column."""

    def keep(in_lake_types: pa.Array, batch_values: pa.Array) -> None:
        send(day.next, in_lake_types)
        with pytest.raises(BadBatch, match="It is kept in quarantine as"):
            send(day, batch_values)

    return keep


def test_a_batch_of_unfit_types_is_not_released_and_says_why(energy, day, column, kept) -> None:
    kept(pa.array([1]), pa.array(["one"]))
    outcome = review.release(energy, day, **WHO)
    assert [(item.kind, why) for item, why in outcome.still_broken] == [
        (
            "batch",
            f"Lake table 'energy.readings' cannot hold the values as they are: column {column!r} is int64 there and"
            " string here. Give the column the table's type in source.py and fetch the partition again: the batch that"
            " enters takes the place of this one.",
        )
    ]
    assert not outcome.decided


def test_a_batch_of_unfit_types_stays_pending_review(energy, day, kept) -> None:
    kept(pa.array([1]), pa.array(["one"]))
    review.release(energy, day, **WHO)
    assert [(item.kind, item.state, item.decision) for item in quarantine.list_items(energy, day)] == [
        ("batch", "waiting", None)
    ]


def test_types_cannot_be_accepted(energy, day, kept) -> None:
    kept(pa.array([1]), pa.array(["one"]))
    with pytest.raises(InvalidParams, match=r"types cannot be accepted(.|\n)*in source\.py"):
        review.release(energy, day, accept=["types"], **WHO)


def test_a_batch_is_released_once_the_lake_has_room_for_it(energy, day, column, kept, in_lake, monkeypatch) -> None:
    with monkeypatch.context() as before:
        before.setattr(column_types, "_promoted", lambda *_: None)
        kept(pa.array([1], pa.int32()), pa.array([2**40]))
        assert not review.release(energy, day, **WHO).decided
    assert len(review.release(energy, day, **WHO).decided) == 1
    monkeypatch.setattr(energy.module("source"), "readings", lambda partition: 1 / 0)
    ingest.ingest_partition(energy, day)
    assert in_lake(day) == [2**40]
