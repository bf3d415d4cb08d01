"""Evaluates a challenger: it and the champion predict the same holdout, and the rules decide."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime

import mlflow
import numpy as np
import pandas as pd

from perennial.evaluation import baseline, money, recorded_intervals, thresholds
from perennial.evaluation.bootstrap import Interval
from perennial.evaluation.recorded_intervals import RecordedMargin
from perennial.gate import (
    class_evidence,
    prediction_intervals,
    promotion,
    rules,
    server_check,
    smoke,
)
from perennial.gate.decision import (
    CHALLENGER,
    CHAMPION,
    INCONCLUSIVE,
    PROMOTE,
    REJECT,
    ClassCounts,
    GateDecision,
    HoldoutInterval,
    Outcome,
    Rule,
    SliceMetric,
)
from perennial.lake import labels
from perennial.registry import ledger, mlflow_artifacts, mlflow_tags, model_loading, run_documents, tracking
from perennial.registry.ledger import Entry
from perennial.registry.model_loading import Predictor
from perennial.training.fit import feature_columns
from perennial.training.planning import TrainingPlan
from perennial.training.training_set import TrainingSet
from perennial.use_case import UseCase

log = logging.getLogger(__name__)

Predict = Callable[[pd.DataFrame], np.ndarray]


@dataclass(frozen=True)
class Opponent:
    """What a challenger is compared with.

    Attributes:
        name: For people.
        predict: From a frame of features to predictions: see `model_loading.predictor`; of a version with the quantiles
            that it predicts.
        fitted_until: Event time up to which it was fitted, UTC; None: it was not.
        threshold: From which probability on it acts; None: the best one on the other blocks of the holdout.
        margin: Of its prediction intervals; None: it has none.
    """

    name: str
    predict: Predict
    fitted_until: datetime | None = None
    threshold: float | None = None
    margin: RecordedMargin | None = None


@dataclass(frozen=True)
class RuleResults:
    """The rules with their numbers, by the question that they answer.

    Attributes:
        sufficiency: Is there enough data to decide on?
        safety: Does anything speak against the challenger?
        superiority: Is it better by more than the margin?
        improvement: By how much it is better; None: not enough data to tell.
        not_evaluated: Slices with too few rows, blocks or classes.
        metrics: Of `CHALLENGER` and `CHAMPION`, on the same rows.
        slices: Of each slice that is large enough, the gate's metric of both.
        classes: Of a multi-class use case, what became of the rows of each class.
    """

    sufficiency: list[Rule]
    safety: list[Rule]
    superiority: list[Rule] = field(default_factory=list)
    improvement: Interval | None = None
    not_evaluated: tuple[str, ...] = ()
    metrics: dict[str, dict[str, float]] = field(default_factory=dict)
    slices: dict[str, SliceMetric] = field(default_factory=dict)
    classes: dict[str, ClassCounts] = field(default_factory=dict)

    @property
    def is_safe(self) -> bool:
        """Whether nothing speaks against the challenger."""
        return all(rule.passed for rule in self.safety)

    @property
    def rules(self) -> list[Rule]:
        """All rules, in the order in which people read them."""
        return [*self.sufficiency, *self.superiority, *self.safety]

    def outcome(self, margin: float) -> Outcome:
        """Promote what is significantly better than the margin; reject what is unsafe or significantly no better."""
        if not self.is_safe:
            return REJECT
        if self.improvement is None or self.improvement.low <= margin < self.improvement.high:
            return INCONCLUSIVE
        return PROMOTE if self.improvement.low > margin else REJECT


def evaluate(use_case: UseCase, challenger: int) -> GateDecision:
    """Evaluate a registered challenger against the champion, and log the decision whatever it is.

    Both predict the same holdout: the challenger's, less anything that the champion was fitted on. Ties lose. A
    champion that is a refit is compared as it was evaluated: the challenger would be refitted, too, so one recipe is
    compared with the other, each without its newest rows. The first model must beat the baseline model. Meanwhile the
    stored model is tried in a process of its own, and then by the prediction server, if one runs.

    A version is decided on once: after `finalize` it is not evaluated again, against a champion that may be itself.

    Args:
        use_case: Whose gate.
        challenger: The registered version.

    Raises:
        PerennialError: the version, its run, or a model is gone or cannot be loaded.
        ServiceUnavailable: MLflow does not answer, or somebody ended the smoke test's process.
    """
    earlier = promotion.final_decision(use_case, challenger)
    if earlier is not None:
        return earlier
    run_id = tracking.run_of(use_case, challenger)
    with smoke.started() as smoke_test, model_loading.downloaded(use_case, challenger) as folder:
        smoke_test.begin(folder)
        data = training_set(use_case, run_id)
        plan = TrainingPlan(**run_documents.read_one(use_case, run_id, mlflow_artifacts.PLAN))
        champion = ledger.champion(use_case)
        predict = model_loading.load_from(use_case, challenger, folder)
        shares = rules.null_shares(data.fit, data.holdout, feature_columns(use_case))
        results, opponent, threshold, between = _compare(use_case, data, predict, champion)
        smoke_result = smoke_test.result(use_case, predict)
        ours = smoke_result.predictions
        in_server = server_check.ask(use_case, challenger, ours) if ours is not None else None
    results = replace(results, safety=[*results.safety, *rules.missing_values(use_case, shares)])
    stored = stored_model_rules(use_case, smoke_result, in_server)
    results = replace(results, safety=[*results.safety, *stored])
    outcome = results.outcome(use_case.gate.margin)
    improvement = results.improvement
    decision = GateDecision(
        promote=outcome == PROMOTE,
        outcome=outcome,
        borderline=outcome == INCONCLUSIVE and improvement is not None and improvement.estimate > use_case.gate.margin,
        reason=_reason(use_case, challenger, opponent, results, outcome) + _of_search(plan),
        challenger=challenger,
        champion=champion.model_version if champion else None,
        partition=plan.last,
        effective_from=data.end,
        rows=int(results.sufficiency[0].value),
        improvement=improvement.estimate if improvement else None,
        interval=(improvement.low, improvement.high) if improvement else None,
        confidence=use_case.gate.confidence,
        rules=results.rules,
        not_evaluated=results.not_evaluated,
        metrics=results.metrics,
        slices=results.slices,
        classes=class_evidence.with_fitted(use_case, results.classes, data.fit["label"]) or None,
        null_shares=shares,
        measured=smoke_result.measured,
        metric=use_case.gate.metric,
        requests=tuple(plan.requests),
        report=tracking.run_url(run_id),
        threshold=threshold,
        baseline=money.baseline(use_case, data.fit),
        prediction_interval=between[0],
        champion_prediction_interval=between[1],
    )
    log_decision(run_id, decision)
    return decision


def _compare(
    use_case: UseCase, data: TrainingSet, predict: Predictor, champion: Entry | None
) -> tuple[RuleResults, Opponent, float | None, tuple[HoldoutInterval | None, HoldoutInterval | None]]:
    """Let challenger and champion predict the rows of the holdout that neither was fitted on.

    Returns:
        The results, what it was compared with, the challenger's threshold, and the intervals of both.
    """
    opponent = _opponent(use_case, data, champion)
    holdout = data.holdout
    mine = predict(holdout)
    threshold, by_block = thresholds.choose(use_case, holdout, mine), thresholds.cross_fitted(use_case, holdout, mine)
    between = prediction_intervals.of_version(use_case, predict, holdout, mine)
    if opponent.fitted_until is not None:
        is_later = (holdout["event_timestamp"] >= opponent.fitted_until).to_numpy()
        holdout, mine = holdout[is_later], mine[is_later]
        by_block = by_block[is_later] if by_block is not None else None
        between = between.later(is_later) if between is not None else None
    # No estimator can predict zero rows, which are not enough evidence anyway.
    its = opponent.predict(holdout) if len(holdout) else mine
    constant = None
    if champion is None:
        constant = baseline.constant_predictions(use_case, labels.encoded(use_case, data.fit["label"]), len(holdout))
    pair = rules.Pair.of(use_case, holdout, mine, its, constant, (by_block, opponent.threshold))
    if champion is None:
        pair = pair.against_baseline(holdout, data.fit)
    results = apply_rules(pair, holdout)
    own = prediction_intervals.measure(use_case, holdout, between)
    renewed: HoldoutInterval | None = None
    served: HoldoutInterval | None = None
    if results.improvement is not None and isinstance(opponent.predict, Predictor):
        renewed, served = prediction_intervals.of_champion(use_case, opponent.predict, holdout, its, opponent.margin)
    return _with_intervals(use_case, results, own, renewed, served), opponent, threshold, (own, renewed)


def _with_intervals(
    use_case: UseCase,
    results: RuleResults,
    mine: HoldoutInterval | None,
    renewed: HoldoutInterval | None,
    served: HoldoutInterval | None,
) -> RuleResults:
    """The results with what the intervals reach: as metrics, and as a rule where there is enough data to decide on.

    The champion's metrics are by its renewed margin, since they are what is expected of it from then on.
    """
    if mine is None or not results.metrics:
        return results
    measured = {CHALLENGER: mine.metrics, CHAMPION: renewed.metrics if renewed is not None else {}}
    metrics = {model: values | measured.get(model, {}) for model, values in results.metrics.items()}
    rule = prediction_intervals.coverage_rule(use_case, mine, served) if results.improvement is not None else []
    return replace(results, metrics=metrics, safety=[*results.safety, *rule])


def training_set(use_case: UseCase, run_id: str) -> TrainingSet:
    """The training set of a training run.

    Args:
        use_case: Whose training.
        run_id: The MLflow run.

    Raises:
        PerennialError: the run no longer holds it.
    """
    return TrainingSet(**run_documents.read_one(use_case, run_id, mlflow_artifacts.TRAINING_SET))


def _opponent(use_case: UseCase, data: TrainingSet, champion: Entry | None) -> Opponent:
    """What the challenger must beat: the champion as it was evaluated, or before there is one the baseline model."""
    if champion is None:
        name = "the baseline model" + (f" and {use_case.gate.baseline}" if use_case.gate.baseline else "")
        label = labels.encoded(use_case, data.fit["label"])
        return Opponent(name, lambda frame: baseline.predictions(use_case, label, frame))
    version, name = champion.model_version, f"champion v{champion.model_version}"
    entries = ledger.entries(use_case)
    evaluated, threshold = ledger.evaluated_for(entries, version), thresholds.recorded(use_case, entries, version)
    margin = recorded_intervals.recorded(use_case, entries, version)
    # Only where the challenger would be refitted, too: else it has to beat what serves.
    if use_case.gate.refit and evaluated is not None:
        version, name = evaluated, f"{name} as it was evaluated (v{evaluated})"
    fitted_until = training_set(use_case, tracking.run_of(use_case, version)).holdout_start
    return Opponent(name, model_loading.load(use_case, version), fitted_until, threshold, margin)


def apply_rules(pair: rules.Pair, holdout: pd.DataFrame) -> RuleResults:
    """Every rule that the holdout can answer.

    Args:
        pair: Both models' predictions of the holdout.
        holdout: (n,) rows in the pair's order, with the columns of `gate.slices`.
    """
    sufficiency = rules.sufficiency(pair)
    if not (pair.rows and pair.varies):
        return RuleResults(sufficiency, safety=[])
    metrics, classes = pair.metrics(), class_evidence.measure(pair)
    if not all(rule.passed for rule in sufficiency):
        return RuleResults(sufficiency, safety=[], metrics=metrics, classes=classes)
    improvement, superiority = rules.superiority(pair)
    on_slices, not_evaluated = rules.slices(pair, holdout)
    safety, by_slice = [*on_slices, rules.calibration(pair)], rules.slice_metrics(pair, holdout)
    not_evaluated += class_evidence.too_few(classes)
    return RuleResults(sufficiency, safety, superiority, improvement, not_evaluated, metrics, by_slice, classes)


def stored_model_rules(
    use_case: UseCase, smoked: smoke.SmokeResult, in_server: server_check.ServerResult | None
) -> list[Rule]:
    """The rules about the stored model; that no server was asked is no rule, but said.

    Args:
        use_case: Whose gate sets the limits.
        smoked: How the model did in a fresh process.
        in_server: How in the prediction server; None: it was not asked, because the fresh process failed.
    """
    note, tried = smoked.note, []
    if in_server is not None and in_server.is_asked:
        name = "smoke test in the prediction server"
        tried = [rules.rule(name, in_server.passed, 1, in_server.passed, in_server.note)]
    elif in_server is not None:
        note = f"{note}; {in_server.note}"
    loaded = rules.rule("smoke test in a fresh process", smoked.passed, 1, smoked.passed, note)
    return [loaded, *tried, *rules.budgets(use_case, smoked.measured)]


def _reason(use_case: UseCase, challenger: int, opponent: Opponent, results: RuleResults, outcome: Outcome) -> str:
    """The decision in one sentence, with its numbers."""
    gate, improvement = use_case.gate, results.improvement
    numbers = f"on {int(results.sufficiency[0].value)} rows"
    if results.metrics:
        mine, its = (results.metrics[model][gate.metric] for model in (CHALLENGER, CHAMPION))
        numbers += f" ({gate.metric} {mine:.4f} against {its:.4f})"
    if improvement:
        numbers += (
            f", improvement {improvement.estimate:+.4f}"
            f" ({rules.percent(gate.confidence)} bounds {improvement.low:+.4f} to {improvement.high:+.4f})"
        )
    if outcome == PROMOTE:
        return f"v{challenger} beats {opponent.name} {numbers}"
    failed = "; ".join(f"{r.name} {r.value:.4g} against {r.threshold:.4g}" for r in results.rules if not r.passed)
    if outcome == REJECT:
        return f"v{challenger} does not replace {opponent.name} {numbers}: {failed}"
    return f"inconclusive whether v{challenger} beats {opponent.name} {numbers}: {failed}"


def _of_search(plan: TrainingPlan) -> str:
    """What the search for the challenger's parameters found, which is a part of what the retraining cost."""
    return f"; {plan.search.reason}" if plan.search is not None else ""


def log_decision(run_id: str, decision: GateDecision) -> None:
    """Log the decision to an MLflow run, and to the task's log.

    Args:
        run_id: The challenger's own run, or that of the version that was evaluated in its place.
        decision: The gate's.
    """
    for line in decision.lines():
        log.info("%s", line)
    numbers = {
        f"gate_{model}_{name}": value for model, values in decision.metrics.items() for name, value in values.items()
    }
    numbers |= {f"gate_rule/{_metric_name(rule.name)}": rule.value for rule in decision.rules}
    numbers |= {f"gate_{name}": value for name, value in decision.measured.items()}
    if decision.improvement is not None and decision.interval is not None:
        low, high = decision.interval
        numbers |= {"gate_gained": decision.improvement, "gate_gained_low": low, "gate_gained_high": high}
    failed = ", ".join(rule.name for rule in decision.rules if not rule.passed)
    threshold = {} if decision.threshold is None else {mlflow_tags.THRESHOLD: str(decision.threshold)}
    with tracking.reachable(), mlflow.start_run(run_id=run_id):
        mlflow.log_dict(decision.model_dump(mode="json"), mlflow_artifacts.GATE)
        mlflow.log_text(decision.markdown(), mlflow_artifacts.GATE_MARKDOWN)
        mlflow.set_tags(
            {
                mlflow_tags.GATE: decision.outcome,
                mlflow_tags.GATE_BORDERLINE: str(decision.borderline).lower(),
                mlflow_tags.GATE_FAILED: failed,
                mlflow_tags.GATE_REASON: decision.reason,
            }
            | threshold
        )
        mlflow.log_metrics(numbers)


def _metric_name(rule: str) -> str:
    """A rule's name in the characters that MLflow allows in a metric's."""
    return re.sub(r"[^\w .:/-]+", " ", rule)[:200]
