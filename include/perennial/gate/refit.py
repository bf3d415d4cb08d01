"""Refits a challenger that has passed on its whole window, holdout included, and checks that the refit is like it.

The refit is a version of its own, and it is what serves: the newest rows of the window, which the gate needed for the
comparison, are worth more than a month of age. It cannot be evaluated on rows that it was fitted on, so the evaluated
version stays its witness: the refit must predict nearly the same, and on the holdout, which it has seen, no worse.
"""

from __future__ import annotations

import logging
from typing import NamedTuple

import numpy as np

from perennial.errors import ChangedArtifact, DamagedFile, PerennialError, ServiceUnavailable, UnknownVersion
from perennial.evaluation import bootstrap
from perennial.gate import challenger, model_card, promotion, rules, server_check, smoke
from perennial.gate.decision import GateDecision, Rule
from perennial.registry import mlflow_artifacts, mlflow_tags, model_loading, run_documents, tracking
from perennial.training.fit import fit_challenger
from perennial.training.planning import TrainingPlan
from perennial.use_case import Approval, UseCase

log = logging.getLogger(__name__)

#: What the rules about the refit begin with.
_OF_REFIT = "refit: "


def refit_challenger(
    use_case: UseCase, decision: GateDecision, requested: Approval | None, made_by: str
) -> GateDecision:
    """Fit the evaluated challenger's recipe again on its whole window and let that version take its place.

    Nothing is done where `gate.refit` is off, and where the challenger cannot come to serve anyway. Where the refit
    cannot be made, or is not like the evaluated version, that one keeps its place, and the reason says why.

    Args:
        use_case: Whose gate.
        decision: The gate's, on the challenger that was evaluated.
        requested: The run's own policy of approval; None: the use case's.
        made_by: Id of the Airflow run. Run again after a kill, the same MLflow run is completed.

    Returns:
        The decision on the refit: the same outcome, with the rules about the refit, `challenger` the refit and
        `evaluated` the version that it was made of. Unchanged where there is none.

    Raises:
        UnknownVersion, ChangedArtifact, DamagedFile: the evaluated version, or its training set, is not what it was.
        ServiceUnavailable: MLflow does not answer, or somebody ended the smoke test's process.
    """
    final = _in_its_place(use_case, decision, requested, made_by)
    if promotion.needs_approval(use_case, final, requested):
        model_card.attach(use_case, final.challenger)  # Whoever is asked reads it; the others get theirs at the end.
    return final


def _in_its_place(use_case: UseCase, decision: GateDecision, requested: Approval | None, made_by: str) -> GateDecision:
    """The decision on the refit, or the same one where there is none."""
    evaluated = decision.challenger
    if not use_case.gate.refit or not promotion.may_be_promoted(use_case, decision, requested):
        return decision
    earlier = promotion.final_decision(use_case, evaluated)
    if earlier is not None:
        return earlier
    made: _Refit | None = None
    try:
        made = _made_and_checked(use_case, decision, f"{made_by}{mlflow_tags.BY_REFIT}")
        failed = "; ".join(f"{r.name} {r.value:.4g} against {r.threshold:.4g}" for r in made.rules if not r.passed)
    except (ServiceUnavailable, ChangedArtifact, DamagedFile, UnknownVersion):
        raise
    except PerennialError as error:  # Of the recipe: the evaluated version has passed, whatever becomes of a refit.
        failed = error.problem
    except (ArithmeticError, TypeError, ValueError) as error:  # Of the estimator, when it predicts.
        failed = f"{type(error).__name__}: {error}"
    if made is None or failed:
        tracking.name_challenger(use_case, evaluated)
        why = f"{decision.reason}; not refitted on the whole window: {failed}"
        refitted = decision.model_copy(update={"reason": why})
    else:
        tracking.link_refit(use_case, evaluated, made.version)
        refitted = decision.model_copy(
            update={
                "challenger": made.version,
                "evaluated": evaluated,
                "rules": [*decision.rules, *made.rules],
                "measured": made.measured,
                "reason": f"{decision.reason}; v{made.version} is its refit on the whole window",
                "report": tracking.run_url(tracking.run_of(use_case, made.version)),
            }
        )
    for number in {evaluated, refitted.challenger}:
        challenger.log_decision(tracking.run_of(use_case, number), refitted)
    return refitted


class _Refit(NamedTuple):
    """A refit, the rules about it, and what the smoke test measured."""

    version: int
    rules: list[Rule]
    measured: dict[str, float]


def _made_and_checked(use_case: UseCase, decision: GateDecision, made_by: str) -> _Refit:
    """Fit again, and check."""
    evaluated, both = decision.challenger, (decision.threshold, decision.threshold)
    run_id = tracking.run_of(use_case, evaluated)
    data = challenger.training_set(use_case, run_id)
    plan = TrainingPlan(**run_documents.read_one(use_case, run_id, mlflow_artifacts.PLAN))
    with smoke.started() as smoke_test:  # It imports its libraries meanwhile.
        version = fit_challenger(use_case, plan.model_copy(update={"refit_of": evaluated}), data, made_by)
        with model_loading.downloaded(use_case, version) as folder:
            smoke_test.begin(folder)
            predict = model_loading.load_from(use_case, version, folder)
            holdout = data.holdout
            ours, theirs = predict(holdout), model_loading.load(use_case, evaluated)(holdout)
            agreement = agreement_rules(rules.Pair.of(use_case, holdout, ours, theirs, thresholds=both))
            smoked = smoke_test.result(use_case, predict)
        in_server = server_check.ask(use_case, version, smoked.predictions) if smoked.predictions is not None else None
    stored = challenger.stored_model_rules(use_case, smoked, in_server)
    named = [rule.model_copy(update={"name": f"{_OF_REFIT}{rule.name}"}) for rule in (*agreement, *stored)]
    return _Refit(version, named, smoked.measured)


def agreement_rules(pair: rules.Pair) -> list[Rule]:
    """Whether a refit is like the version that was evaluated in its place.

    Args:
        pair: Predictions of the whole holdout: as the challenger's the refit's, which has seen it; as the champion's
            those of the evaluated version, which has not.
    """
    gate = pair.use_case.gate
    moved, truth = pair.challenger - pair.champion, pair.label
    if moved.ndim == 2:  # Of classes the same of each, all together.
        truth = np.eye(moved.shape[1])[truth]
    distance = float(np.sqrt(np.mean(moved**2) / np.mean((truth - truth.mean(axis=0)) ** 2)))
    name = "distance from the evaluated version"
    agreement = [rules.rule(name, distance, gate.refit_distance, distance <= gate.refit_distance)]
    if pair.blocks > 1:
        change, error = bootstrap.jackknife(pair.improvement(), pair.blocks, gate.confidence)
        # It has seen these rows: whatever is significantly worse on them was not fitted right.
        name = f"{gate.metric} on rows that it has seen, against the evaluated version"
        agreement.append(rules.rule(name, change, 0, change + error >= 0))
    return agreement
