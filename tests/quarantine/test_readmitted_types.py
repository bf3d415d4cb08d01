"""Refused rows and batches whose types are not those of the batch or the table that they are to enter."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from itertools import count

import pyarrow as pa
import pytest

from perennial import lake, quarantine
from perennial.errors import BadBatch, InvalidParams
from perennial.ingestion import ingest as ingestion
from perennial.lake import column_types
from perennial.partitions import Partition
from perennial.quarantine import review
from perennial.quarantine.review import ReviewOutcome
from perennial.use_case import UseCase

pytestmark = pytest.mark.usefixtures("project")
WHO = {"actor": "ada", "reason": "I looked at the meter"}
HIGH = "expect_column_values_to_be_between(kwh)"
DAYS, COLUMNS = count(), count()


@pytest.fixture
def day(energy) -> Partition:
    """A partition of its own for each test; so is the one after it."""
    return energy.cadence.at(energy.first.start + timedelta(days=2 * next(DAYS)))


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

    def ingest(day: Partition, values: pa.Array, high: int = 0, but: int = 0) -> None:
        def readings(partition: Partition) -> pa.Table:
            rows = original(partition)
            kwh = [5000.0] * high + rows["kwh"].to_pylist()[high:]
            places = pa.array([min(row, len(values) - 1) for row in range(rows.num_rows)])
            return rows.set_column(3, "kwh", pa.array(kwh)).append_column(column, values.take(places)).slice(but)

        monkeypatch.setattr(module, "readings", readings)
        ingestion.ingest_partition(energy, day)

    return ingest


@pytest.fixture
def held(column) -> Callable[[Partition], list]:
    """The column's different values in the lake."""

    def values(day: Partition) -> list:
        return lake.read("energy.readings", partitions=[day.key])[column].unique().to_pylist()

    return values


def release(energy: UseCase, day: Partition) -> ReviewOutcome:
    return review.release(energy, day, accept=[HIGH], **WHO)


def test_a_released_row_is_not_rounded_to_the_batch(energy, day, column, send, held) -> None:
    send(day, pa.array([0.1, 0.5]), high=1)
    release(energy, day)
    send(day, pa.array([0.5], pa.float32()), but=1)
    assert sorted(held(day)) == [0.1, 0.5]


def test_a_batch_makes_room_for_a_released_row(energy, day, column, send, held) -> None:
    send(day, pa.array([2**40, 1]), high=1)
    release(energy, day)
    send(day, pa.array([2], pa.int32()), but=1)
    assert sorted(held(day)) == [2, 2**40]


def test_an_empty_column_takes_the_type_of_a_released_row(energy, day, column, send, held) -> None:
    send(day, pa.array([0.25, 0.5]), high=1)
    release(energy, day)
    send(day, pa.nulls(1), but=1)
    assert set(held(day)) == {None, 0.25}


def test_a_released_row_unfit_for_the_batch_names_both_types(energy, day, column, send, held) -> None:
    send(day, pa.array([0.25, 0.5]), high=1)
    release(energy, day)
    send(day, pa.array([Decimal("0.5")]), but=1)
    assert held(day) == [0.5]
    (decision,) = quarantine.decisions(energy, day).values()
    said = f"It breaks the types of the batch: {column!r} is decimal128(1, 1) there and double here."
    assert (decision.action, decision.reason) == ("refused", said)


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

    def keep(there: pa.Array, here: pa.Array) -> None:
        send(day.next, there)
        with pytest.raises(BadBatch, match="It is kept in quarantine as"):
            send(day, here)

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


def test_a_batch_is_released_once_the_lake_has_room_for_it(energy, day, column, kept, held, monkeypatch) -> None:
    with monkeypatch.context() as before:
        before.setattr(column_types, "_promoted", lambda *_: None)
        kept(pa.array([1], pa.int32()), pa.array([2**40]))
        assert not review.release(energy, day, **WHO).decided
    assert len(review.release(energy, day, **WHO).decided) == 1
    monkeypatch.setattr(energy.module("source"), "readings", lambda partition: 1 / 0)
    ingestion.ingest_partition(energy, day)
    assert held(day) == [2**40]
