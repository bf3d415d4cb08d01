"""The state of an alarm, from the records that came after it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from perennial import discovery
from perennial.gate import challenger, rules
from perennial.gate.decision import GateDecision
from perennial.monitoring import alarms, expectation, performance
from perennial.monitoring import rules as verdict_rules
from perennial.monitoring.alarms import AlarmState
from perennial.monitoring.performance import Performance
from perennial.monitoring.rules import Observations
from perennial.monitoring.verdict import Verdict
from perennial.partitions import Partition
from perennial.quarantine import QuarantineShare
from perennial.registry import ledger, retraining_requests
from perennial.registry.ledger import Entry

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
FLIGHTS = discovery.load("flights")
STREAM = FLIGHTS.model_copy(
    update={
        "gate": FLIGHTS.gate.model_copy(update={"slices": ()}),
        "drift": FLIGHTS.drift.model_copy(update={"performance_drop": 0.01}),
    }
)


class Life:
    """The records of a use case's monitors and gate, one after the other, a minute apart."""

    def __init__(self, use_case=FLIGHTS) -> None:
        self.use_case = use_case
        self.verdicts: list[dict[str, Any]] = []
        self.entries: list[Entry] = []
        self.requests: list[dict[str, Any]] = []
        self._minutes = 0

    def now(self) -> datetime:
        self._minutes += 1
        return NOON + timedelta(minutes=self._minutes)

    def verdict(self, key: str, verdict: str = "alarm", version: int = 1, reason: str = "performance", **evidence):
        known = {"alarms": [reason] if verdict == "alarm" else [], "rows": 900, "lived": 0.70, "lost": 0.04} | evidence
        row = {"partition": key, "verdict": verdict, "reason": reason, "model_version": version}
        self.verdicts.append(row | {"evidence": json.dumps(known), "recorded_at": self.now(), "explanation": ""})
        return self

    def request(self, key: str, reason: str = "performance"):
        self.requests.append({"partition": key, "reason": reason, "evidence": "{}", "recorded_at": self.now()})
        return self

    def decide(
        self,
        version: int,
        champion: int | None,
        key: str,
        interval: tuple[float, float, float] | None = (-0.01, 0.0, 0.01),
        *,
        outcome: str = "not-enough-evidence",
        reached: float = 0.70,
        actor: str = "gate",
        refused: str = "",
        **more: Any,
    ):
        """A decision of the gate; `interval` is lower bound, estimate, upper bound of the improvement."""
        estimate = interval[1] if interval else None
        decision = GateDecision(
            promote=outcome == "promote" and actor == "gate",
            outcome=outcome,
            reason="as measured",
            challenger=version,
            champion=champion,
            partition=key,
            effective_from=self.use_case.cadence.partition(key).end,
            rows=900,
            improvement=estimate,
            interval=(interval[0], interval[2]) if interval else None,
            rules=[rules.rule(refused or "holdout rows", 1, 2, not refused and interval is not None)],
            metrics={"challenger": {"roc_auc": reached + (estimate or 0)}, "rival": {"roc_auc": reached}},
            **more,
        )
        return self.enter(decision, actor=actor)

    def enter(self, decision: GateDecision, actor: str = "gate", action: str = ""):
        self.entries.append(
            Entry(
                event_id=f"gate:{decision.challenger}",
                partition=decision.partition,
                action=action or (ledger.PROMOTED if decision.promote else ledger.REJECTED),
                model_version=decision.challenger,
                previous_version=decision.champion,
                model_run="",
                effective_from=decision.effective_from,
                actor=actor,
                reason=decision.reason,
                evidence=decision.model_dump(mode="json"),
                recorded_at=self.now(),
            )
        )
        return self

    def states(self) -> dict[str, AlarmState]:
        return alarms.states(self.use_case, self.verdicts, self.entries, self.requests)

    def state(self, key: str = "2013-08") -> AlarmState:
        return self.states()[key]


@pytest.fixture
def life() -> Life:
    """A first model, and an alarm about it in August."""
    return Life().decide(1, None, "2013-06", (0.1, 0.2, 0.3), outcome="promote", reached=0.55).verdict("2013-08")


def test_no_alarm_has_no_state(life) -> None:
    assert set(life.verdict("2013-09", "healthy").states()) == {"2013-08"}


def test_an_alarm_is_open_and_says_whether_retraining_is_requested(life) -> None:
    assert (life.state().is_open, life.state().cause) == (True, "unknown")
    assert "cooldown" in life.state().explanation
    asked = life.request("2013-09").state()
    assert asked.is_open
    assert asked.explanation.startswith("retraining on data up to 2013-09 is requested")
    assert "`perennial trigger flights training`" in asked.act


@pytest.mark.parametrize(
    ("interval", "outcome", "is_open", "cause"),
    [
        ((0.001, 0.02, 0.04), "promote", False, "stale"),
        ((-0.02, -0.01, 0.0), "reject", False, "harder"),
        ((-0.01, 0.0005, 0.03), "not-enough-evidence", False, "harder"),
        ((-0.001, 0.003, 0.02), "not-enough-evidence", False, "harder"),
        ((-0.001, 0.003, 0.03), "not-enough-evidence", False, "inconclusive"),
        (None, "not-enough-evidence", True, "unknown"),
    ],
)
def test_the_gates_numbers_tell_the_cause(life, interval, outcome: str, is_open: bool, cause: str) -> None:
    told = life.decide(2, 1, "2013-08", interval, outcome=outcome).state()
    assert (told.is_open, told.cause, told.decision) == (is_open, cause, 2)
    assert bool(told.act) == is_open


def test_a_better_model_that_a_rule_refused_leaves_it_open(life) -> None:
    told = life.decide(2, 1, "2013-08", (0.01, 0.02, 0.03), outcome="reject", refused="bytes of the model").state()
    assert (told.is_open, told.cause) == (True, "stale")
    assert "bytes of the model" in told.explanation


@pytest.mark.parametrize(
    ("interval", "outcome", "is_open", "cause"),
    [
        ((-0.02, -0.01, 0.0), "reject", False, "harder"),
        ((-0.01, 0.01, 0.03), "not-enough-evidence", False, "inconclusive"),
        ((0.01, 0.02, 0.03), "reject", True, "stale"),
    ],
)
def test_the_end_of_a_rollout_tells_by_its_numbers_too(life, interval, outcome, is_open: bool, cause: str) -> None:
    state = life.decide(2, 1, "2013-08", interval, outcome=outcome, made_by="rollout/1").state()
    assert (state.is_open, state.cause) == (is_open, cause)


def test_a_comparison_by_another_metric_says_nothing_about_the_loss(life) -> None:
    state = life.decide(2, 1, "2013-08", (0.1, 0.2, 0.3), metric="brier").state()
    assert (state.is_open, state.cause) == (False, "inconclusive")
    assert "compared by brier, not by roc_auc" in state.explanation


def test_a_person_who_rejects_a_model_has_decided(life) -> None:
    told = life.decide(2, 1, "2013-08", (0.01, 0.02, 0.03), outcome="promote", actor="ada").state()
    assert (told.is_open, told.cause) == (False, "inconclusive")
    assert "rejected by ada" in told.explanation


def test_a_better_model_that_was_rolled_back_was_not_shown_to_be_better(life) -> None:
    life.decide(2, 1, "2013-08", (0.001, 0.02, 0.04), outcome="promote")
    back = replace(life.entries[0], event_id="rollback:a", action=ledger.ROLLED_BACK, previous_version=2)
    life.entries.append(replace(back, reason="worse at night", recorded_at=life.now()))
    assert (life.state().is_open, life.state().cause) == (False, "inconclusive")
    assert "v1 serves again: worse at night" in life.state().explanation


def test_a_decision_on_earlier_data_tells_nothing(life) -> None:
    assert life.decide(2, 1, "2013-07").state().is_open


def test_a_decision_on_later_data_tells_too(life) -> None:
    assert not life.decide(2, 1, "2013-10").state().is_open


def test_a_decision_before_monitoring_counts_unless_later_labels_made_the_alarm() -> None:
    late = Life().decide(1, None, "2013-06", outcome="promote").decide(2, 1, "2013-08").verdict("2013-08")
    assert not late.state().is_open
    revised = Life().decide(1, None, "2013-06", outcome="promote").verdict("2013-08", "healthy")
    revised.decide(2, 1, "2013-08").verdict("2013-08")
    assert revised.state().is_open
    assert not revised.decide(3, 1, "2013-09").state().is_open


@pytest.mark.parametrize("before", ["estimated-performance", "drift"])
def test_a_decision_without_its_labels_tells_nothing_of_performance(before: str) -> None:
    revised = Life().decide(1, None, "2013-06", outcome="promote").verdict("2013-08", reason=before)
    revised.decide(2, 1, "2013-08").verdict("2013-08")
    assert revised.state().is_open
    assert not revised.decide(3, 1, "2013-09").state().is_open


def test_a_decision_tells_nothing_of_an_estimate_beside_drift() -> None:
    life = Life().decide(1, None, "2013-06", outcome="promote")
    life.verdict("2013-08", reason="drift", alarms=["estimated-performance", "drift"])
    assert life.decide(2, 1, "2013-08").state().is_open


def test_drift_without_a_better_model_is_harmless() -> None:
    life = Life().decide(1, None, "2013-06", outcome="promote").verdict("2013-08", reason="drift")
    assert life.decide(2, 1, "2013-08").state().cause == "harmless"


@pytest.mark.parametrize("reason", ["performance", "drift"])
def test_a_later_partition_as_expected_closes_it(life, reason: str) -> None:
    life.verdict("2013-09", reason=reason).verdict("2013-10", "healthy", reason="", lived=None)
    assert life.state("2013-09").is_open == (reason == "performance"), "no labels tell nothing about performance"
    life.verdict("2013-11", "healthy", reason="")
    assert (life.state("2013-09").is_open, life.state("2013-09").cause) == (False, "passed")


def test_intervals_that_cover_again_close_their_alarm() -> None:
    life = Life().decide(1, None, "2013-06", outcome="promote").verdict("2013-08", reason="interval-coverage")
    life.verdict("2013-09", "healthy", reason="", interval={"left_out": "too few"})
    assert life.state("2013-08").is_open, "nothing was measured"
    life.verdict("2013-09", "healthy", reason="", interval={"reached": 0.5, "is_renewed": True})
    assert life.state("2013-08").is_open, "it could not have alarmed"
    life.verdict("2013-10", "healthy", reason="", interval={"reached": 0.9})
    assert (life.state("2013-08").is_open, life.state("2013-08").cause) == (False, "passed")


def test_a_model_that_is_no_better_closes_an_alarm_of_intervals_as_harder() -> None:
    life = Life().decide(1, None, "2013-06", outcome="promote").verdict("2013-08", reason="interval-coverage")
    state = life.decide(2, 1, "2013-08").state()
    assert (state.is_open, state.cause) == (False, "harder")


@pytest.mark.parametrize(("margin", "is_said"), [(2.0, True), (None, False)], ids=["renewed", "too few rows"])
def test_a_renewed_margin_is_said_where_there_is_one(margin, is_said) -> None:
    life = Life().decide(1, None, "2013-06", outcome="promote").verdict("2013-08", reason="interval-coverage")
    renewed = {"coverage": 0.9, "rows": 300, "margin": margin}
    told = life.decide(2, 1, "2013-08", champion_prediction_interval=renewed).state().explanation
    assert ("its prediction intervals get a margin chosen on 300 rows up to 2013-08" in told) == is_said


def test_another_version_that_serves_closes_it(life) -> None:
    life.decide(2, 1, "2013-07", outcome="promote")
    assert (life.state().is_open, life.state().cause) == (False, "replaced")


def test_a_rollout_under_way_leaves_it_open(life) -> None:
    decision = GateDecision(**Life().decide(2, 1, "2013-08", outcome="promote").entries[0].evidence)
    told = life.enter(decision.model_copy(update={"promote": False}), action=ledger.ROLLOUT).state()
    assert (told.is_open, told.cause, told.decision) == (True, "stale", 2)


def test_no_rejection_closes_an_alarm_of_broken_data() -> None:
    life = Life().decide(1, None, "2013-06", outcome="promote")
    life.verdict("2013-08", cause="broken-data", broken=["x: all null"]).decide(2, 1, "2013-08")
    told = life.state()
    assert (told.is_open, told.cause) == (True, "broken-data")
    assert "x: all null" in told.explanation
    assert "`perennial trigger flights features --partition 2013-08`" in told.act
    assert not life.verdict("2013-09", "healthy", reason="").state().is_open


def test_a_grown_quarantine_is_broken_data() -> None:
    life = Life().decide(1, None, "2013-06", outcome="promote").verdict("2013-08", reason="quarantine")
    assert (life.state().is_open, life.state().cause) == (True, "broken-data")


def test_records_of_older_releases_have_a_state() -> None:
    life = Life().decide(1, None, "2013-06", outcome="promote")
    life.verdicts.append(
        {"partition": "2013-08", "verdict": "alarm", "reason": "performance", "model_version": 1, "evidence": None}
        | {"recorded_at": life.now()}
    )
    assert life.state().is_open
    life.entries.append(life.decide(2, 1, "2013-08").entries.pop())
    life.entries[-1].evidence.clear()
    assert (life.state().is_open, life.state().cause) == (False, "inconclusive")


# --- What is expected.


def expected(life: Life, key: str, version: int = 1) -> float | None:
    def verdicts_of(partition: str) -> list[dict[str, Any]]:
        return [row for row in life.verdicts if row["partition"] == partition]

    return expectation.newest(life.entries, version, key, verdicts_of).metrics.get("roc_auc")


def test_expected_metric_is_from_the_newest_judgement_before_the_partition(life) -> None:
    life.decide(2, 1, "2013-08", reached=0.74).decide(3, 1, "2013-10", reached=0.71)
    assert [expected(life, f"2013-{month:02}") for month in (7, 8, 9, 10, 11)] == [0.75, 0.75, 0.74, 0.74, 0.71]


@given(st.permutations(range(3)))
def test_what_is_expected_does_not_depend_on_the_order_of_decisions(order: list[int]) -> None:
    life = Life().decide(1, None, "2013-06", (0.1, 0.2, 0.3), outcome="promote", reached=0.55)
    for number in order:
        life.decide(2 + number, 1, f"2013-{7 + number:02}", reached=0.6 + number / 100)
    assert [expected(life, f"2013-{month:02}") for month in (7, 8, 9, 10, 12)] == [0.75, 0.6, 0.61, 0.62, 0.62]


def test_a_comparison_on_too_few_rows_does_not_renew(life) -> None:
    assert expected(life.decide(2, 1, "2013-08", None, reached=0.5), "2013-09") == 0.75


def test_what_ended_a_rollout_does_not_renew(life) -> None:
    assert expected(life.decide(2, 1, "2013-08", reached=0.5, made_by="rollout/1"), "2013-09") == 0.75


def test_a_comparison_of_another_champion_does_not_renew(life) -> None:
    life.decide(2, 1, "2013-08", outcome="promote", reached=0.74).decide(3, 2, "2013-09", reached=0.5)
    assert expected(life, "2013-10", version=1) == 0.74, "measured when it was replaced: for a rollback"
    assert expected(life, "2013-10", version=2) == 0.5


def test_a_comparison_on_data_known_to_be_broken_does_not_renew(life) -> None:
    life.verdict("2013-09", cause="broken-data").decide(2, 1, "2013-09", reached=0.5)
    assert expected(life, "2013-10") == 0.75
    life.verdict("2013-09", "healthy")
    assert expected(life, "2013-10") == 0.75, "what was known when the gate decided counts"
    assert expected(life.decide(3, 1, "2013-09", reached=0.73), "2013-10") == 0.73


# --- Whole lives, with the monitor's own verdicts and the gate's own rules.


def judge(life: Life, partition: Partition, version: int, value: float, uncertainty: float) -> Verdict:
    def verdicts_of(key: str) -> list[dict[str, Any]]:
        return [row for row in life.verdicts if row["partition"] == key]

    champion = next(entry for entry in life.entries if entry.model_version == version)
    measured = Performance(900, 900, {"roc_auc": value}, uncertainty=uncertainty)
    known = expectation.newest(life.entries, version, partition.key, verdicts_of)
    usual = QuarantineShare(now=0.0, usual=0.0, partitions=3)
    verdict = verdict_rules.decide(
        life.use_case, Observations(partition, champion, 900, measured, [], {}, usual, expectation=known)
    )
    row = {"partition": partition.key, "verdict": verdict.verdict, "reason": verdict.reason, "model_version": version}
    evidence = json.dumps(verdict.evidence.as_json())
    life.verdicts.append(row | {"evidence": evidence, "recorded_at": life.now(), "explanation": verdict.explanation})
    return verdict


def is_requested(life: Life, partition: Partition, reason: str) -> bool:
    made = [(row["partition"], row["reason"]) for row in life.requests]
    return bool(reason) and retraining_requests.held_back_by(life.use_case, partition, reason, made) is None


def month_of_data(random: np.random.Generator, partition: Partition) -> pd.DataFrame:
    """900 labelled rows of 28 days with something of their own each day, and two models that are equally good."""
    day = np.repeat(np.arange(28), 32)
    truth = random.normal(0, 1, len(day)) + random.normal(0, 0.5, 28)[day]
    noise = random.normal(0, 1, (2, len(day)))
    return pd.DataFrame(
        {
            "event_timestamp": [partition.start + timedelta(days=int(each)) for each in day],
            "label": (random.random(len(day)) < 1 / (1 + np.exp(-2 * truth))).astype(int),
            "mine": 1 / (1 + np.exp(-truth - noise[0])),
            "its": 1 / (1 + np.exp(-truth - noise[1])),
        }
    )


def decide_on(life: Life, data: pd.DataFrame, version: int, champion: int, partition: Partition) -> None:
    """The gate's decision by its own rules."""
    mine, its = data["mine"].to_numpy(), data["its"].to_numpy()
    results = challenger.apply_rules(rules.Pair.of(life.use_case, data, mine, its), data)
    outcome, gained = results.outcome(life.use_case.gate.margin), results.improvement
    life.enter(
        GateDecision(
            promote=outcome == "promote",
            outcome=outcome,
            reason="by its rules",
            challenger=version,
            champion=champion,
            partition=partition.key,
            effective_from=partition.end,
            rows=len(data),
            improvement=gained.estimate,
            interval=(gained.low, gained.high),
            rules=results.rules,
            metrics=results.metrics,
        )
    )


@settings(max_examples=examples(20), deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_a_stationary_stream_leaves_no_alarm_open_after_its_decision(seed: int) -> None:
    random, champion = np.random.default_rng(seed), 1
    # The first gate was lucky: what it measured is more than the model reaches on any other month.
    life = Life(STREAM).decide(1, None, "2013-02", (0.1, 0.2, 0.3), outcome="promote", reached=0.65)
    months = [STREAM.cadence.partition(f"2013-{month:02}") for month in range(3, 13)]
    for month in months:
        data = month_of_data(random, month)
        label, its = data["label"].to_numpy(), data["its"].to_numpy()
        off = performance.uncertainty(STREAM, label, its)
        verdict = judge(life, month, champion, float(roc_auc_score(label, its)), off)
        if is_requested(life, month, verdict.reason):
            life.request(month.key, verdict.reason)
            decide_on(life, data, len(life.entries) + 1, champion, month)
            champion = ledger.champion_among(life.entries).model_version
            for key, state in life.states().items():
                last = life.entries[-1]
                is_refused = not last.evidence["promote"] and last.evidence["interval"][0] > STREAM.gate.margin
                assert not state.is_open or is_refused, f"{key}: {state}"
        assert all(state.act for state in life.states().values() if state.is_open), "an open alarm names an act"
    assert life.verdicts[0]["verdict"] == "alarm"
    assert life.verdicts[0]["partition"] in life.states()


def test_the_demos_year_ends_with_no_open_alarm() -> None:
    """The metrics and decisions of the demo's replay (docs/tutorial.md) from July on, and the rule of today."""
    live = {"2013-07": 0.763, "2013-08": 0.7391, "2013-09": 0.729, "2013-10": 0.711, "2013-11": 0.702, "2013-12": 0.722}
    # What the gate measured of v3 on the last 28 days of August; later holdouts were about as hard as their month.
    holdouts = {"2013-08": 0.7444, "2013-10": 0.711, "2013-12": 0.722}
    life = Life().decide(3, None, "2013-06", (0.01, 0.0, 0.03), outcome="promote", reached=0.7743)
    alarmed, left_open = [], []
    for key, value in live.items():
        month = FLIGHTS.cadence.partition(key)
        verdict = judge(life, month, 3, value, 0.01)
        alarmed += [key] if verdict.verdict == "alarm" else []
        if is_requested(life, month, verdict.reason):
            life.request(key, verdict.reason)
            life.decide(len(life.entries) + 3, 3, key, (-0.0016, 0.0029, 0.0075), reached=holdouts[key])
        left_open += [state.partition for state in life.states().values() if state.is_open]
    assert alarmed == ["2013-08", "2013-10"]
    assert left_open == []
    assert {state.cause for state in life.states().values()} == {"harder"}
    assert [row["partition"] for row in life.requests] == ["2013-08", "2013-10", "2013-12"], "as often as before"
