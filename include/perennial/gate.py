"""The gate: whether a challenger replaces the champion, judged on data later than anything either was trained on."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import mlflow
import numpy as np
import pandas as pd

from perennial import database, ledger, metrics, tracking
from perennial.errors import PerennialError
from perennial.training import Plan
from perennial.training_set import TrainingSet
from perennial.use_case import Declaration, UseCase


class Rule(Declaration):
    """One condition of the gate, with the number it was decided on."""

    name: str
    value: float
    threshold: float
    passed: bool


class Decision(Declaration):
    """The gate's decision on one challenger.

    Attributes:
        promote: Whether all rules passed.
        reason: One sentence for people.
        champion: The version it was judged against; None: the trivial baseline.
        rows: Rows of the holdout used.
    """

    promote: bool
    reason: str
    challenger: int
    champion: int | None
    partition: str
    effective_from: datetime
    rows: int
    rules: list[Rule]
    metrics: dict[str, dict[str, float]] = {}
    requests: list[str] = []

    def refused_by(self, person: str) -> Decision:
        """The same evidence, but a person said no."""
        return self.model_copy(update={"promote": False, "reason": f"{self.reason}; refused by {person}"})


def judge(use_case: UseCase, challenger: int) -> Decision:
    """Judge a registered challenger against the champion, and log the decision whatever it is.

    Both predict the same holdout: the challenger's, less anything that the champion was trained on. Ties lose. The
    first model must beat the trivial baseline.
    """
    version = tracking.version(use_case, challenger)
    with tracking.reachable():
        data = TrainingSet(**mlflow.artifacts.load_dict(f"runs:/{version.run_id}/training_set.json"))
        plan = Plan(**mlflow.artifacts.load_dict(f"runs:/{version.run_id}/plan.json"))
    holding = ledger.champion(use_case)
    holdout = data.holdout
    if holding is None:
        constant = metrics.trivial(use_case, data.fit["label"].to_numpy(), 1)[0]
        rival, rival_name = lambda frame: np.full(len(frame), constant), "the trivial baseline"  # noqa: E731
    else:
        trained_until = _trained_until(use_case, holding.model_version)
        holdout = holdout[holdout["event_timestamp"] >= trained_until]
        rival, rival_name = tracking.load(use_case, holding.model_version), f"champion v{holding.model_version}"
    rules, values = _rules(use_case, holdout, {"challenger": tracking.load(use_case, challenger), "rival": rival})
    failed = [rule for rule in rules if not rule.passed]
    first = rules[0]
    reason = (
        f"v{challenger} beats {rival_name} on {len(holdout)} rows: {_numbers(use_case, values)}"
        if not failed
        else f"v{challenger} does not replace {rival_name} on {len(holdout)} rows:"
        f" {'; '.join(f'{r.name} {r.value:.4g} against {r.threshold:.4g}' for r in failed)}"
        + (f" ({_numbers(use_case, values)})" if first.passed else "")
    )
    decision = Decision(
        promote=not failed,
        reason=reason,
        challenger=challenger,
        champion=holding.model_version if holding else None,
        partition=plan.last,
        effective_from=data.end,
        rows=len(holdout),
        rules=rules,
        metrics=values,
        requests=plan.requests,
    )
    _log(version.run_id, decision)
    return decision


def _rules(
    use_case: UseCase, holdout: pd.DataFrame, predict: dict[str, Any]
) -> tuple[list[Rule], dict[str, dict[str, float]]]:
    gate = use_case.gate
    label = holdout["label"].to_numpy()
    enough = len(holdout) >= gate.min_rows and (use_case.task == "regression" or len(np.unique(label)) == 2)
    rules = [_rule("holdout rows", len(holdout), gate.min_rows, enough)]
    if not enough:
        return rules, {}
    outputs = {name: function(holdout) for name, function in predict.items()}
    values = {name: metrics.evaluate(use_case, label, output) for name, output in outputs.items()}
    gained = metrics.gain(gate.metric, values["challenger"][gate.metric], values["rival"][gate.metric])
    rules.append(_rule(f"{gate.metric} gained", gained, gate.margin, gained > gate.margin))
    for column in gate.slices:
        for value, positions in holdout.groupby(column, observed=True).indices.items():
            part = label[positions]
            if len(part) < gate.slice_min_rows or (use_case.task == "binary" and len(np.unique(part)) < 2):
                continue
            mine, its = (metrics.evaluate(use_case, part, outputs[name][positions]) for name in ("challenger", "rival"))
            change = metrics.gain(gate.metric, mine[gate.metric], its[gate.metric])
            passed = change >= -gate.slice_tolerance
            rules.append(_rule(f"{gate.metric} gained on {column}={value}", change, -gate.slice_tolerance, passed))
    return rules, values


def _rule(name: str, value: float, threshold: float, passed: bool) -> Rule:
    return Rule(name=name, value=value, threshold=threshold, passed=bool(passed))


def settle(use_case: UseCase, decision: Decision, approved: bool = True, actor: str = "gate") -> Decision:
    """Carry a decision out: the ledger's row, and on a promotion the alias, in one step each.

    Args:
        approved: False where a person was asked and said no.
        actor: Who decided: the gate, or that person.

    Returns:
        The decision as it was carried out.

    Run twice, it promotes once. The ledger is written first: it is what scoring asks, and the alias follows it.

    Raises:
        PerennialError: the champion is no longer the one that the challenger was judged against.
    """
    if not approved:
        decision = decision.refused_by(actor)
    version = tracking.version(use_case, decision.challenger)
    with database.exclusive("promotion", use_case.name):
        holding = ledger.champion(use_case)
        settled = any(entry.model_version == decision.challenger for entry in ledger.entries(use_case))
        if decision.promote and not settled and (holding.model_version if holding else None) != decision.champion:
            raise PerennialError(
                f"Use case {use_case.name!r}: v{decision.challenger} was judged against"
                f" {f'v{decision.champion}' if decision.champion else 'no champion'}, but the champion is now"
                f" {f'v{holding.model_version}' if holding else 'none'}.",
                "Clear the task `judge` of this run: it is then judged against the present champion.",
            )
        ledger.record(
            use_case,
            partition=decision.partition,
            action="promoted" if decision.promote else "rejected",
            model_version=decision.challenger,
            previous_version=decision.champion,
            model_run=version.run_id,
            effective_from=decision.effective_from,
            actor=actor,
            reason=decision.reason,
            evidence=decision.model_dump(mode="json"),
        )
        champion = ledger.champion(use_case)
        if champion is not None:
            tracking.promote(use_case, champion.model_version)
    return decision


def _trained_until(use_case: UseCase, number: int) -> datetime:
    """Event time up to which a version was fitted; its own gate's holdout begins there."""
    with tracking.reachable():
        run = tracking.client().get_run(tracking.version(use_case, number).run_id)
    return datetime.fromisoformat(run.data.tags["perennial.holdout_start"])


def _numbers(use_case: UseCase, values: dict[str, dict[str, float]]) -> str:
    metric = use_case.gate.metric
    return f"{metric} {values['challenger'][metric]:.4f} to {values['rival'][metric]:.4f}"


def _log(run_id: str, decision: Decision) -> None:
    """On the challenger's own MLflow run."""
    with tracking.reachable(), mlflow.start_run(run_id=run_id):
        mlflow.log_dict(decision.model_dump(mode="json"), "gate.json")
        mlflow.set_tags(
            {"perennial.gate": "promote" if decision.promote else "reject", "perennial.gate_reason": decision.reason}
        )
        mlflow.log_metrics(
            {f"gate_{who}_{name}": value for who, values in decision.metrics.items() for name, value in values.items()}
        )
