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
        partition: The newest partition that the challenger has seen.
        effective_from: Event time from which it may predict: the end of that partition.
        rows: Rows of the holdout used.
        report: Address of the challenger's MLflow run.
    """

    promote: bool
    reason: str
    challenger: int
    champion: int | None
    partition: str
    effective_from: datetime
    rows: int
    rules: list[Rule]
    metrics: dict[str, dict[str, float]]
    requests: tuple[str, ...] = ()
    report: str = ""

    def refused_by(self, person: str) -> Decision:
        """The same evidence, but a person said no."""
        return self.model_copy(update={"promote": False, "reason": f"{self.reason}; refused by {person}"})


def judge(use_case: UseCase, challenger: int) -> Decision:
    """Judge a registered challenger against the champion, and log the decision whatever it is.

    Both predict the same holdout: the challenger's, less anything that the champion was trained on. Ties lose. The
    first model must beat the trivial baseline.
    """
    run_id = tracking.run_of(use_case, challenger)
    with tracking.reachable():
        data = TrainingSet(**mlflow.artifacts.load_dict(f"runs:/{run_id}/training_set.json"))
        plan = Plan(**mlflow.artifacts.load_dict(f"runs:/{run_id}/plan.json"))
    holding = ledger.champion(use_case)
    holdout = data.holdout
    if holding is None:
        constant = metrics.trivial(use_case, data.fit["label"].to_numpy(), 1)[0]
        rival, rival_name = lambda frame: np.full(len(frame), constant), "the trivial baseline"
    else:
        trained_until = _trained_until(use_case, holding.model_version)
        holdout = holdout[holdout["event_timestamp"] >= trained_until]
        rival, rival_name = tracking.load(use_case, holding.model_version), f"champion v{holding.model_version}"
    rules, values = _rules(use_case, holdout, {"challenger": tracking.load(use_case, challenger), "rival": rival})
    decision = Decision(
        promote=all(rule.passed for rule in rules),
        reason=_reason(use_case, f"v{challenger}", rival_name, rules, values),
        challenger=challenger,
        champion=holding.model_version if holding else None,
        partition=plan.last,
        effective_from=data.end,
        rows=len(holdout),
        rules=rules,
        metrics=values,
        requests=tuple(plan.requests),
        report=tracking.run_url(run_id),
    )
    _log(run_id, decision)
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

    A version is decided on once: run again, also with another decision, the first one stands. The ledger is written
    first: it is what scoring asks, and the alias follows it.

    Args:
        approved: False where a person was asked and said no.
        actor: Who decided: the gate, or that person.

    Returns:
        The decision as it was carried out.

    Raises:
        PerennialError: the champion is no longer the one that the challenger was judged against.
    """
    if not approved:
        decision = decision.refused_by(actor)
    with database.exclusive("promotion", use_case.name):
        earlier = next((e for e in ledger.entries(use_case) if e.model_version == decision.challenger), None)
        if earlier is not None:
            decision = Decision(**earlier.evidence)
        else:
            _insist_on_the_same_rival(use_case, decision)
            ledger.record(
                use_case,
                partition=decision.partition,
                action="promoted" if decision.promote else "rejected",
                model_version=decision.challenger,
                previous_version=decision.champion,
                model_run=tracking.run_of(use_case, decision.challenger),
                effective_from=decision.effective_from,
                actor=actor,
                reason=decision.reason,
                evidence=decision.model_dump(mode="json"),
            )
        champion = ledger.champion(use_case)
        if champion is not None:
            tracking.promote(use_case, champion.model_version)
    return decision


def _insist_on_the_same_rival(use_case: UseCase, decision: Decision) -> None:
    holding = ledger.champion(use_case)
    if decision.promote and (holding.model_version if holding else None) != decision.champion:
        raise PerennialError(
            f"Use case {use_case.name!r}: v{decision.challenger} was judged against"
            f" {f'v{decision.champion}' if decision.champion else 'no champion'}, but the champion is now"
            f" {f'v{holding.model_version}' if holding else 'none'}.",
            "Clear the task `judge` of this run: it is then judged against the present champion.",
        )


def _trained_until(use_case: UseCase, number: int) -> datetime:
    """Event time up to which a version was fitted; its own gate's holdout begins there."""
    with tracking.reachable():
        run = tracking.client().get_run(tracking.run_of(use_case, number))
    return datetime.fromisoformat(run.data.tags["perennial.holdout_start"])


def _reason(
    use_case: UseCase, challenger: str, rival: str, rules: list[Rule], values: dict[str, dict[str, float]]
) -> str:
    """The decision in one sentence, with its numbers."""
    metric, rows = use_case.gate.metric, int(rules[0].value)
    numbers = (
        f"{metric} {values['challenger'][metric]:.4f} to {values['rival'][metric]:.4f}" if values else "not judged"
    )
    failed = [f"{rule.name} {rule.value:.4g} against {rule.threshold:.4g}" for rule in rules if not rule.passed]
    if failed:
        return f"{challenger} does not replace {rival} on {rows} rows ({numbers}): {'; '.join(failed)}"
    return f"{challenger} beats {rival} on {rows} rows: {numbers}"


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
