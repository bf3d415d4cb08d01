"""What follows from live requests, on evidence made to show one thing each."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest

from perennial import CanaryStage, Rollout, UseCase, Value, discovery
from perennial.gate import rollout_evidence, rollout_rules
from perennial.gate.decision import GateDecision
from perennial.gate.rollout_evidence import LiveEvidence
from perennial.gate.rollout_rules import Assessment
from perennial.registry.ledger import Entry
from perennial.registry.rollouts import RolloutState, Stage
from perennial.use_case import Gate

DAY = timedelta(days=1)
BEGAN = datetime(2024, 1, 5, 12, tzinfo=UTC)
POLICY = Rollout(shadow=DAY, canary=(CanaryStage(share=0.1, period=DAY),), longest=20 * DAY)
INSTEAD = POLICY.model_copy(update={"after": "instead-of-holdout"})
FLIGHTS = discovery.load("flights")
USE_CASE = FLIGHTS.model_copy(update={"gate": Gate(**FLIGHTS.gate.model_dump() | {"slices": ()})})


def state(share: float = 0.0, decision: dict[str, Any] | None = None) -> RolloutState:
    kept: dict[str, Any] = {"decision": decision or {}}
    entry = Entry("rollout:2:0", "2013-03", "rollout", 2, 1, "run2", BEGAN, "gate", "", kept, BEGAN)
    return RolloutState(2, 1, BEGAN, 0, Stage(share, DAY), BEGAN, entry)


def evidence(challenger: float, champion: float, *, days: int = 14, a_day: int = 300, **more: int) -> LiveEvidence:
    """Labelled requests on which both predict the true logit with this much noise."""
    random, count = np.random.default_rng(1), days * a_day
    logit = random.normal(-1, 1.2, count)
    mine, its = (1 / (1 + np.exp(-(logit + random.normal(0, 1, count) * noise))) for noise in (challenger, champion))
    times = pd.Timestamp("2024-01-05", tz="UTC") + pd.to_timedelta(np.sort(random.integers(days * 24, size=count)), "h")
    label = (random.random(count) < 1 / (1 + np.exp(-logit))).astype(int)
    pairs = pd.DataFrame({"label": label, "event_timestamp": times, "challenger": mine, "champion": its})
    return LiveEvidence(pairs, **{"predicted": count, "tried": count} | more)


NONE = LiveEvidence(rollout_evidence.no_pairs(USE_CASE))


def assess(seen: LiveEvidence, after: timedelta, policy: Rollout = POLICY, share: float = 0.0) -> Assessment:
    return rollout_rules.assess(USE_CASE, policy, state(share), seen, BEGAN + after)


def test_a_stage_lasts_as_long_as_declared() -> None:
    assert assess(evidence(0.1, 2), DAY - timedelta(seconds=1)).step == "wait"


def test_a_stage_that_nothing_speaks_against_ends_in_the_next() -> None:
    assessed = assess(evidence(0.5, 0.5), DAY)
    assert (assessed.step, assessed.next_stage.name) == ("next", "canary 10%")
    assert all(rule.name.startswith("live: ") for rule in assessed.all_rules)


def test_after_the_holdout_the_last_stage_promotes_what_is_not_worse() -> None:
    assessed = assess(evidence(0.5, 0.5), DAY, share=0.1)
    assert (assessed.step, assessed.outcome) == ("end", "promote")


@pytest.mark.parametrize(
    ("challenger", "champion", "outcome"),
    [(0.1, 2, "promote"), (0.5, 0.5, "not-enough-evidence"), (0.6, 0.1, "reject")],
)
def test_instead_of_the_holdout_it_has_to_be_better(challenger: float, champion: float, outcome: str) -> None:
    assessed = assess(evidence(challenger, champion), DAY, INSTEAD, share=0.1)
    assert (assessed.step, assessed.outcome) == ("end", outcome)


def held_out(improvement: float, half: float, metric: str = "roc_auc") -> dict[str, Any]:
    """A decision of the gate on the holdout, as the ledger keeps it."""
    return GateDecision(
        promote=False,
        outcome="not-enough-evidence",
        reason="too few days",
        challenger=2,
        champion=1,
        partition="2013-03",
        effective_from=BEGAN,
        rows=20_000,
        improvement=improvement,
        interval=(improvement - half, improvement + half),
        confidence=0.95,
        metric=metric,
        rules=[],
        metrics={},
    ).model_dump(mode="json")


@pytest.mark.parametrize(
    ("decision", "outcome"),
    [
        (held_out(0.02, 0.021), "promote"),
        (held_out(-0.02, 0.021), "not-enough-evidence"),
        (held_out(0.02, 0.021, metric="average_precision"), "not-enough-evidence"),
    ],
)
def test_holdout_and_live_requests_decide_together(decision: dict[str, Any], outcome: str) -> None:
    """Live requests alone are not enough, as the last case shows: its holdout was measured in another metric."""
    together = POLICY.model_copy(update={"after": "with-holdout"})
    live = evidence(0.5, 0.53, days=6)
    assessed = rollout_rules.assess(USE_CASE, together, state(0.1, decision), live, BEGAN + DAY)
    assert (assessed.step, assessed.outcome) == ("end", outcome)
    named = [rule.name for rule in assessed.all_rules if "with the holdout" in rule.name]
    assert len(named) == (decision["metric"] == "roc_auc")


def test_what_is_much_worse_ends_at_any_look() -> None:
    assessed = assess(evidence(3, 0.1), timedelta(hours=1))
    assert (assessed.step, assessed.outcome) == ("end", "reject")
    assert "99.9% upper bound" in assessed.reason


def test_what_is_a_little_worse_ends_only_with_its_stage() -> None:
    little = evidence(0.8, 0.4, days=8)
    assert assess(little, timedelta(hours=1)).step == "wait"
    assert assess(little, DAY).outcome == "reject"


def test_many_errors_end_at_any_look_even_without_labels() -> None:
    failing = LiveEvidence(NONE.pairs, predicted=40, tried=60, errors=20)
    assert assess(failing, timedelta(minutes=1)).outcome == "reject"
    one = LiveEvidence(NONE.pairs, predicted=9, tried=10, errors=1)
    assert assess(one, timedelta(minutes=1)).step == "wait", "one of ten may be chance"


def test_a_few_errors_too_many_end_with_the_stage() -> None:
    failing = evidence(0.5, 0.5, predicted=990, tried=1_000, errors=12)
    assert assess(failing, timedelta(hours=1)).step == "wait"
    assessed = assess(failing, DAY)
    assert (assessed.outcome, "share of failed predictions 0.012" in assessed.reason) == ("reject", True)


@pytest.mark.parametrize(
    "scarce", [NONE, evidence(0.5, 0.5, days=3), evidence(0.5, 0.5, a_day=5), evidence(0.5, 0.5, predicted=99)]
)
def test_without_enough_evidence_a_stage_goes_on_until_the_longest(scarce: LiveEvidence) -> None:
    assert assess(scarce, 19 * DAY).step == "wait"
    assessed = assess(scarce, 20 * DAY)
    assert (assessed.step, assessed.outcome) == ("end", "not-enough-evidence")
    assert "undecided after 20 days" in assessed.reason


def in_money(monkeypatch: pytest.MonkeyPatch, metric: str) -> UseCase:
    """A use case whose function of the worth fails on every row that was served."""

    def worth(rows: pd.DataFrame) -> pd.Series:
        raise ValueError("amount is null")

    monkeypatch.setattr(UseCase, "module", lambda self, name: type("value", (), {"worth": staticmethod(worth)}))
    return USE_CASE.model_copy(
        update={"value": Value(function="worth"), "gate": USE_CASE.gate.model_copy(update={"metric": metric})}
    )


def test_a_value_that_fails_ends_a_rollout_at_the_longest(monkeypatch) -> None:
    case, seen = in_money(monkeypatch, "value"), evidence(0.5, 0.5)
    soon = rollout_rules.assess(case, POLICY, state(), seen, BEGAN + 19 * DAY)
    assert (soon.step, "value cannot be measured" in soon.reason, "amount is null" in soon.reason) == (
        "wait",
        True,
        True,
    )
    last = rollout_rules.assess(case, POLICY, state(), seen, BEGAN + 20 * DAY)
    assert (last.step, last.outcome) == ("end", "not-enough-evidence")


def test_a_value_that_fails_stops_no_other_metric(monkeypatch) -> None:
    case = in_money(monkeypatch, "roc_auc")
    assert rollout_rules.assess(case, POLICY, state(), evidence(0.5, 0.5), BEGAN + DAY).step == "next"


def test_a_value_without_its_columns_is_not_measured() -> None:
    value = Value(function="worth", columns=("amount",))
    case = USE_CASE.model_copy(update={"value": value, "gate": USE_CASE.gate.model_copy(update={"metric": "value"})})
    _, problem = rollout_rules.pair_of(case, evidence(0.5, 0.5))
    assert "neither requests nor examples have amount of value.columns" in problem


def test_a_slice_that_is_worse_rejects() -> None:
    seen = evidence(0.5, 0.5)
    origin = np.where(np.arange(len(seen.pairs)) % 3 == 0, "JFK", "LGA")
    noise = np.random.default_rng(2).random(len(seen.pairs))
    worse = seen.pairs.assign(origin=origin, challenger=np.where(origin == "JFK", noise, seen.pairs["champion"]))
    sliced = FLIGHTS.model_copy(update={"gate": Gate(**FLIGHTS.gate.model_dump() | {"slices": ("origin",)})})
    better_elsewhere = worse.assign(champion=np.where(origin == "LGA", noise, worse["champion"]))
    judged = LiveEvidence(better_elsewhere, predicted=1_000, tried=1_000)
    assessed = rollout_rules.assess(sliced, POLICY, state(), judged, BEGAN + DAY)
    assert (assessed.outcome, "origin=JFK" in assessed.reason) == ("reject", True)


def test_looking_at_equal_models_every_hour_seldom_ends_a_rollout() -> None:
    ended = 0
    for seed in range(100):
        random, days, a_day = np.random.default_rng(seed), 14, 48
        count = days * a_day
        logit = random.normal(-1, 1.2, count)
        label = (random.random(count) < 1 / (1 + np.exp(-logit))).astype(int)
        mine, its = (1 / (1 + np.exp(-(logit + random.normal(0, 0.5, count)))) for _ in range(2))
        times = pd.date_range("2024-01-05", periods=count, freq="30min", tz="UTC")
        pairs = pd.DataFrame({"label": label, "event_timestamp": times, "challenger": mine, "champion": its})
        looks = (LiveEvidence(pairs[:known], 0, known, known) for known in range(240, count, 24))
        ended += any(assess(look, timedelta(hours=1)).step == "end" for look in looks)
    assert ended <= 5
