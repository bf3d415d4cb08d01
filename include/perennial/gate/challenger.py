"""Judging a challenger: both models on the same rows, rule by rule."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

import mlflow
import numpy as np
import pandas as pd

from perennial.evaluation import baseline
from perennial.evaluation.bootstrap import Interval
from perennial.gate import model_card, promotion, rules, smoke
from perennial.gate.decision import GateDecision, Outcome, Rule
from perennial.registry import ledger, mlflow_tags, tracking
from perennial.registry.ledger import Entry
from perennial.training.planning import TrainingPlan
from perennial.training.training_set import TrainingSet
from perennial.use_case import UseCase

log = logging.getLogger(__name__)

Predict = Callable[[pd.DataFrame], np.ndarray]


@dataclass(frozen=True)
class RuleResults:
    """What was found about a challenger.

    Attributes:
        gain: By how much it is better; None: there is not enough to say.
        evidence, better, safe: The rules: is there enough to decide on, is it better, does anything speak against it?
    """

    evidence: list[Rule]
    safe: list[Rule]
    better: list[Rule] = field(default_factory=list)
    gain: Interval | None = None
    not_judged: tuple[str, ...] = ()
    metrics: dict[str, dict[str, float]] = field(default_factory=dict)

    @property
    def is_safe(self) -> bool:
        return all(rule.passed for rule in self.safe)

    @property
    def rules(self) -> list[Rule]:
        return [*self.evidence, *self.better, *self.safe]

    def outcome(self, margin: float) -> Outcome:
        """Promote what is surely better than the margin, reject what is not safe or surely no better than it."""
        if not self.is_safe:
            return "reject"
        if self.gain is None or self.gain.low <= margin < self.gain.high:
            return "not-enough-evidence"
        return "promote" if self.gain.low > margin else "reject"


def evaluate(use_case: UseCase, challenger: int) -> GateDecision:
    """Judge a registered challenger against the champion, and log the decision whatever it is.

    Both predict the same holdout: the challenger's, less anything that the champion was fitted on. Ties lose. The first
    model must beat the trivial baseline. Meanwhile the stored model is tried in a process of its own.

    A version is decided on once: what is settled is not judged again, against a champion that may be itself.
    """
    earlier = promotion.final_decision(use_case, challenger)
    if earlier is not None:
        return earlier
    run_id = tracking.run_of(use_case, challenger)
    with tracking.downloaded(use_case, challenger) as folder, smoke.started(folder) as smoke_test:
        with tracking.reachable():
            data = TrainingSet(**mlflow.artifacts.load_dict(f"runs:/{run_id}/training_set.json"))
            plan = TrainingPlan(**mlflow.artifacts.load_dict(f"runs:/{run_id}/plan.json"))
        holding = ledger.champion(use_case)
        predict = tracking.load_from(use_case, challenger, folder)
        holdout = data.holdout
        if holding is not None:
            holdout = holdout[holdout["event_timestamp"] >= _fitted_until(use_case, holding.model_version)]
        rival = _rival(use_case, holding, data)
        # Of no rows, which is not enough evidence, no estimator predicts anything.
        mine, its = (each(holdout) if len(holdout) else np.empty(0) for each in (predict, rival))
        pair = rules.Pair.of(use_case, holdout, mine, its)
        found = findings(pair, holdout)
        smoked = smoke_test.result(predict)
    found.safe.append(rules.rule("smoke test in a fresh process", smoked.passed, 1, smoked.passed, smoked.note))
    found.safe.extend(rules.budgets(use_case, smoked.measured))
    outcome = found.outcome(use_case.gate.margin)
    gained = found.gain.estimate if found.gain else None
    decision = GateDecision(
        promote=outcome == "promote",
        outcome=outcome,
        borderline=outcome == "not-enough-evidence" and gained is not None and gained > use_case.gate.margin,
        reason=_reason(use_case, challenger, holding, found, outcome),
        challenger=challenger,
        champion=holding.model_version if holding else None,
        partition=plan.last,
        effective_from=data.end,
        rows=len(holdout),
        gained=gained,
        interval=(found.gain.low, found.gain.high) if found.gain else None,
        confidence=use_case.gate.confidence,
        rules=found.rules,
        not_judged=found.not_judged,
        metrics=found.metrics,
        measured=smoked.measured,
        requests=tuple(plan.requests),
        report=tracking.run_url(run_id),
    )
    _log(run_id, decision)
    model_card.attach(use_case, challenger)
    return decision


def _rival(use_case: UseCase, holding: Entry | None, data: TrainingSet) -> Predict:
    """What the challenger must beat: the champion, or before there is one what needs no model."""
    if holding is not None:
        return tracking.load(use_case, holding.model_version)
    label = data.fit["label"].to_numpy()
    return lambda frame: baseline.predictions(use_case, label, frame)


def _fitted_until(use_case: UseCase, number: int) -> datetime:
    """Event time up to which a version was fitted; its own gate's holdout begins there."""
    with tracking.reachable():
        run = tracking.client().get_run(tracking.run_of(use_case, number))
    return datetime.fromisoformat(run.data.tags[mlflow_tags.HOLDOUT_START])


def findings(pair: rules.Pair, holdout: pd.DataFrame) -> RuleResults:
    """Everything that the holdout says."""
    evidence = rules.evidence(pair)
    if not (pair.rows and pair.varies):
        return RuleResults(evidence, safe=[])
    values = pair.metrics()
    if not all(rule.passed for rule in evidence):
        return RuleResults(evidence, safe=[], metrics=values)
    gain, better = rules.gain(pair)
    on_slices, not_judged = rules.slices(pair, holdout)
    return RuleResults(evidence, [*on_slices, rules.calibration(pair)], better, gain, not_judged, values)


def _reason(use_case: UseCase, challenger: int, holding: Entry | None, found: RuleResults, outcome: Outcome) -> str:
    """The decision in one sentence, with its numbers."""
    gate, rows = use_case.gate, int(found.evidence[0].value)
    rival = "the trivial baseline" + (f" and {gate.baseline}" if gate.baseline else "")
    if holding:
        rival = f"champion v{holding.model_version}"
    numbers = f"on {rows} rows"
    if found.metrics:
        mine, its = (found.metrics[who][gate.metric] for who in ("challenger", "rival"))
        numbers += f" ({gate.metric} {mine:.4f} to {its:.4f})"
    if found.gain:
        numbers += f", gained {found.gain.low:+.4f} to {found.gain.high:+.4f} at {gate.confidence:.4g} confidence"
    if outcome == "promote":
        return f"v{challenger} beats {rival} {numbers}"
    failed = "; ".join(f"{r.name} {r.value:.4g} against {r.threshold:.4g}" for r in found.rules if not r.passed)
    if outcome == "reject":
        return f"v{challenger} does not replace {rival} {numbers}: {failed}"
    return f"not enough evidence that v{challenger} beats {rival} {numbers}: {failed}"


def _log(run_id: str, decision: GateDecision) -> None:
    """On the challenger's own MLflow run, and in the task's log."""
    for line in decision.lines():
        log.info("%s", line)
    numbers = {
        f"gate_{who}_{name}": value for who, values in decision.metrics.items() for name, value in values.items()
    }
    numbers |= {f"gate_rule/{_metric_name(rule.name)}": rule.value for rule in decision.rules}
    numbers |= {f"gate_{name}": value for name, value in decision.measured.items()}
    if decision.gained is not None and decision.interval is not None:
        low, high = decision.interval
        numbers |= {"gate_gained": decision.gained, "gate_gained_low": low, "gate_gained_high": high}
    failed = ", ".join(rule.name for rule in decision.rules if not rule.passed)
    with tracking.reachable(), mlflow.start_run(run_id=run_id):
        mlflow.log_dict(decision.model_dump(mode="json"), "gate.json")
        mlflow.log_text(decision.markdown(), "gate.md")
        mlflow.set_tags(
            {
                mlflow_tags.GATE: decision.outcome,
                mlflow_tags.GATE_BORDERLINE: str(decision.borderline).lower(),
                mlflow_tags.GATE_FAILED: failed,
                mlflow_tags.GATE_REASON: decision.reason,
            }
        )
        mlflow.log_metrics(numbers)


def _metric_name(rule: str) -> str:
    """A rule's name in the characters that MLflow allows in a metric's."""
    return re.sub(r"[^\w .:/-]+", " ", rule)[:200]
