"""Performance is estimated without labels, shown beside the truth, and alarms only once its record has earned it."""

from __future__ import annotations

import json
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from perennial import Cadence, DriftPolicy, Retraining
from perennial.evaluation.estimation import Holdout
from perennial.monitoring import alarms, estimate, expectation, rules
from perennial.monitoring.estimate import Made
from perennial.monitoring.performance import Performance
from perennial.monitoring.rules import Observations
from perennial.monitoring.verdict import EstimateEvidence, Verdict, VerdictEvidence
from perennial.quarantine import QuarantineShare

MARCH = Cadence.MONTHLY.partition("2013-03")
CHAMPION = SimpleNamespace(
    model_version=1,
    effective_from=MARCH.start,
    evidence={"metrics": {"challenger": {"roc_auc": 0.75}}},
)
EARNED = {"partitions": 10, "within": 9, "mean_error": 0.01}


def use_case(**policy: Any) -> Any:
    return SimpleNamespace(
        name="flights",
        cadence=Cadence.MONTHLY,
        drift=DriftPolicy(**{"performance_drop": 0.03, "min_rows": 100} | policy),
        gate=SimpleNamespace(metric="roc_auc"),
        retraining=Retraining(),
    )


def estimated(value: float = 0.65, off: float = 0.02, **record: Any) -> EstimateEvidence:
    return EstimateEvidence(value=value, low=value - off, high=value + off, margin=off, rows=1000, **EARNED | record)


def decide(its: EstimateEvidence, production: float | None = None, **policy: Any) -> Verdict:
    """The verdict on a partition of which 0.75 is expected and that has all labels, or a tenth of them."""
    labelled, measured = (100, {}) if production is None else (1000, {"roc_auc": production})
    observed = Observations(
        partition=MARCH,
        champion=CHAMPION,
        rows=1000,
        performance=Performance(1000, labelled, measured, uncertainty=0.01),
        columns=[],
        sustained={},
        quarantined=QuarantineShare(now=0.0, usual=0.0, partitions=3),
        expectation=expectation.of_decision(CHAMPION, 1),
        estimated=Made(its),
    )
    return rules.decide(use_case(**policy), observed)


def test_an_estimated_fall_alarms_and_requests_nothing() -> None:
    decided = decide(estimated())
    assert (decided.verdict, decided.reason) == ("alarm", "")
    assert decided.evidence.alarms == ("estimated-performance",)
    told = "roc_auc is estimated at 0.65 (0.63 to 0.67) without labels where 0.75 was expected"
    assert decided.explanation.startswith(told)
    assert "the truth was within the interval in 9 of 10 partitions before" in decided.explanation


@pytest.mark.parametrize(
    "record",
    [
        {"partitions": 5, "within": 5},
        {"partitions": 10, "within": 7},
        {"mean_error": 0.03},
        {"partitions": 0, "within": 0, "mean_error": None},
    ],
)
def test_an_estimate_without_such_a_record_only_tells(record: dict[str, Any]) -> None:
    decided = decide(estimated(**record))
    assert decided.verdict == "healthy"
    assert "which is no alarm by its record" in decided.explanation


def test_an_interval_that_reaches_the_tolerance_is_none() -> None:
    decided = decide(estimated(0.70, off=0.021))
    assert decided.verdict == "healthy"
    assert "until then roc_auc is estimated at 0.7 (0.679 to 0.721) without labels" in decided.explanation
    assert "no alarm by its record" not in decided.explanation


def test_the_truth_decides_once_it_is_there() -> None:
    right, wrong = decide(estimated(), production=0.66), decide(estimated(), production=0.75)
    assert (right.evidence.alarms, wrong.evidence.alarms) == (("performance",), ())
    assert wrong.evidence.estimate == estimated()


def test_without_a_tolerated_loss_it_never_alarms() -> None:
    assert decide(estimated(), performance_drop=None).verdict == "healthy"


def test_evidence_with_an_estimate_is_read_back() -> None:
    evidence = decide(estimated()).evidence
    assert VerdictEvidence.from_json(json.dumps(evidence.as_json())) == evidence


def row(partition: str, evidence: VerdictEvidence, verdict: str = "alarm", minutes: int = 0) -> dict[str, Any]:
    recorded = MARCH.start + timedelta(minutes=minutes)
    text = json.dumps(evidence.as_json())
    known = {"partition": partition, "model_version": 1, "verdict": verdict, "reason": ""}
    return known | {"recorded_at": recorded, "evidence": text}


def test_the_record_is_of_earlier_partitions_with_both() -> None:
    both, blind = (VerdictEvidence(metric="roc_auc", estimate=estimated(), production=p) for p in (0.66, None))
    other = VerdictEvidence(metric="brier", estimate=estimated(), production=0.1)
    rows = [
        row("2013-01", blind),
        row("2013-01", both, minutes=1),
        row("2013-02", blind),
        row("2013-03", other),
        row("2013-04", both),
        row("2013-05", VerdictEvidence(metric="roc_auc", production=0.7)),
        row("2013-06", both),
    ]
    assert estimate.record(use_case(), rows, before="2013-06") == [(estimated(), 0.66)] * 2


def test_the_record_is_of_the_same_predictions() -> None:
    both = VerdictEvidence(metric="roc_auc", estimate=estimated(), production=0.66, judged="served")
    assert estimate.record(use_case(), [row("2013-01", both)], before="2013-02") == []
    served = both.model_copy(update={"estimate": estimated(of_served=True)})
    assert len(estimate.record(use_case(), [row("2013-01", served)], before="2013-02")) == 1


def test_the_record_is_the_newest_that_have_their_labels() -> None:
    keys = [each.key for each in Cadence.DAILY.partition("2013-01-01").through(Cadence.DAILY.partition("2013-03-31"))]
    both = [
        VerdictEvidence(metric="roc_auc", estimate=estimated(), production=number / 100 if number < 60 else None)
        for number in range(len(keys))
    ]
    known = estimate.record(use_case(), [row(key, each) for key, each in zip(keys, both, strict=True)], "2013-04-01")
    assert [truth for _, truth in known] == [number / 100 for number in range(30, 60)]


def test_its_alarm_is_open_until_labels_tell() -> None:
    first = row("2013-03", decide(estimated()).evidence)
    (state,) = alarms.states(use_case(), [first], [], []).values()
    assert state.is_open
    assert "its labels will tell" in state.explanation
    assert "label some of its rows" in state.act
    revised = row("2013-03", decide(estimated(), production=0.75).evidence, "healthy", minutes=5)
    assert alarms.states(use_case(), [first, revised], [], []) == {}


def test_a_later_partition_closes_it_by_its_truth_only() -> None:
    first = row("2013-03", decide(estimated()).evidence)
    unknown = row("2013-04", decide(estimated(0.75)).evidence, "healthy")
    measured = row("2013-04", decide(estimated(0.75), production=0.75).evidence, "healthy", minutes=1)
    assert alarms.states(use_case(), [first, unknown], [], [])["2013-03"].is_open
    state = alarms.states(use_case(), [first, unknown, measured], [], [])["2013-03"]
    assert (state.is_open, state.cause) == (False, alarms.PASSED)


def test_what_is_not_defined_of_the_predictions_is_left_out(monkeypatch) -> None:
    random = np.random.default_rng(0)
    prediction = np.sort(random.random(4_000))
    label = (random.random(4_000) < np.where(prediction < 0.5, 0.0, 0.3)).astype(int)
    order = random.permutation(4_000)
    held_out = Holdout(pd.DataFrame(index=range(4_000)), label[order], prediction[order], np.arange(4_000) // 400)
    monkeypatch.setattr(estimate, "_holdout", lambda *_: held_out)
    monkeypatch.setattr(estimate, "_predictions", lambda *_: (pd.DataFrame(), np.full(900, 0.2), 900, False))
    case = SimpleNamespace(**vars(use_case()), task="binary")
    made = estimate._estimate(case, MARCH, 1, [])
    assert made.estimate is None
    assert made.left_out == "roc_auc is not defined: all predictions are of one class by the holdout"
