"""What policies would have done: only what was known at the time counts."""

from __future__ import annotations

import backtested
import numpy as np
import pytest

from perennial.backtesting import fits, history, policies, replaying, running
from perennial.backtesting.fits import Fit
from perennial.backtesting.policies import Policy
from perennial.backtesting.replaying import Known, Replayed, Start
from perennial.use_case import UseCase


@pytest.fixture(scope="module")
def known(energy: UseCase) -> Known:
    rows = history.retrieve(energy, energy.first, energy.partition(backtested.LAST))
    fits.folder_of(energy).mkdir(parents=True, exist_ok=True)
    return Known(rows, running.Fits(rows, fits.recipe(rows), None, None, lambda text: None).read)


@pytest.fixture(scope="module")
def start(known: Known, energy: UseCase) -> Start:
    return finished(replaying.first_model(known, policies.declared(energy)))


def finished(asking):
    """The result of a replay whose fits are made when they are read."""
    try:
        while True:
            next(asking)
    except StopIteration as end:
        return end.value


def replay(known: Known, start: Start, policy: Policy) -> Replayed:
    return finished(replaying.replay(known, policy, start))


@pytest.fixture(scope="module")
def replayed(known: Known, start: Start, energy: UseCase) -> dict[str, Replayed]:
    every = [*policies.references(energy), *policies.variations(energy, 12)]
    return {policy.name: replay(known, start, policy) for policy in every}


def test_what_predicts_a_partition_has_seen_only_labels_known_by_its_start(known, replayed) -> None:
    rows = known.history
    for name, one in replayed.items():
        for key, fit in one.serving.items():
            begin = np.datetime64(rows.use_case.partition(key).start.replace(tzinfo=None))
            assert rows.known_at[fit.rows(rows)].max() <= begin, (name, key)
            own = rows.partition == rows.place(rows.use_case.partition(key))
            assert not np.isnan(known.predictions(fit)[own]).any()


def test_every_policy_predicts_the_same_partitions(replayed) -> None:
    served = {tuple(one.serving) for name, one in replayed.items() if name != policies.BASELINE}
    assert served == {tuple(f"2024-01-{day:02}" for day in range(4, 13))}


def test_the_future_changes_nothing(known, replayed, energy) -> None:
    """What a policy did until a day is what it does in a history that ends there."""
    last = energy.partition("2024-01-09")
    rows = history.retrieve(energy, energy.first, last)
    shorter = Known(rows, running.Fits(rows, fits.recipe(rows), None, None, lambda text: None).read)
    begun = finished(replaying.first_model(shorter, policies.declared(energy)))
    for name, whole in replayed.items():
        part = replay(shorter, begun, whole.policy)
        assert part.serving == {key: fit for key, fit in whole.serving.items() if key <= last.key}, name
        assert part.promotions == [key for key in whole.promotions if key < last.key], name


def test_the_first_model_is_never_replaced(replayed, start) -> None:
    assert set(replayed["never"].serving.values()) == {start.champion.served}
    assert list(replayed["never"].fits) == [start.champion.evaluated, start.champion.served]


def test_always_is_refitted_on_the_window_until_the_day_before(replayed, energy) -> None:
    for key, fit in replayed["always"].serving.items():
        last = energy.partition(key).previous
        assert fit == Fit(last.preceding(4, energy.first)[0], last)


def test_a_model_is_requested_when_it_is_old(known, start, energy) -> None:
    policy = policies.parse(energy, "max_age=2,performance_drop=none,cooldown=0")
    promoted = [start.partition.key, *replay(known, start, policy).promotions]
    requests = replay(known, start, policy).requests
    for key in requests:
        newest = max(each for each in promoted if each < key)
        assert len(list(energy.partition(newest).next.through(energy.partition(key)))) >= 2


def test_requests_cool_down(known, start, energy) -> None:
    requests = replay(known, start, policies.parse(energy, "max_age=1,cooldown=2")).requests
    days = [int(key[-2:]) for key in [start.partition.key, *requests]]
    assert len(requests) > 1
    assert set(np.diff(days)) == {3}


def test_worse_than_expected_is_a_request(known, start, energy) -> None:
    policy = policies.parse(energy, "max_age=none")
    # On the sixth the world moves; the last hours of a day have no label by its end, but enough others have.
    assert replay(known, start, policy).requests[0] == "2024-01-06"
    silent = policies.parse(energy, "max_age=none,performance_drop=none")
    assert replay(known, start, silent).requests == []


def test_a_schedule_is_a_request(known, start, energy) -> None:
    weekly = energy.retraining.model_copy(update={"schedule": "0 6 * * 3", "max_age": None})
    quiet = energy.drift.model_copy(update={"performance_drop": None})
    policy = Policy("weekly", "loop", energy.model_copy(update={"retraining": weekly, "drift": quiet}))
    assert replay(known, start, policy).requests == ["2024-01-09"]  # Wednesday the tenth, on all that has ended.


def test_no_margin_that_cannot_be_reached_is_passed(known, start, energy) -> None:
    one = replay(known, start, policies.parse(energy, "margin=100"))
    assert one.requests
    assert one.promotions == []
    assert set(one.serving.values()) == {start.champion.served}
