"""A challenger that has passed, fitted again on its whole window: checked, registered beside it, and served."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from pipelines import decide, run_features_until, train

import perennial
from perennial import gate
from perennial.analysis import staleness
from perennial.errors import ChangedArtifact, TrainingFailed
from perennial.gate import GateDecision, refit, rules
from perennial.registry import ledger, mlflow_tags, model_loading, tracking
from perennial.reproduce import recipe
from perennial.reproduce import refit as reproduction
from perennial.use_case import UseCase

pytestmark = pytest.mark.usefixtures("project", "mlflow_server")


@pytest.fixture(scope="module")
def energy(project, mlflow_server, energy: UseCase) -> UseCase:
    """Three days of data, and `refit` on, as it is by default."""
    run_features_until(energy, "2024-01-03")
    return with_gate(energy, refit=True)


@pytest.fixture(scope="module")
def first(energy: UseCase) -> GateDecision:
    """The first model: evaluated, refitted and promoted."""
    return decide(energy, "first", window_end="2024-01-03")


def with_gate(use_case: UseCase, **changes: object) -> UseCase:
    return use_case.model_copy(update={"gate": use_case.gate.model_copy(update=changes)})


def test_the_refit_serves_and_the_ledger_names_both(energy: UseCase, first: GateDecision) -> None:
    assert (first.promote, first.evaluated, first.challenger) == (True, 1, 2)
    entry = ledger.champion(energy)
    assert (entry.model_version, entry.evidence["evaluated"]) == (2, 1)
    assert entry.model_run == tracking.run_of(energy, 2)
    assert int(tracking.client().get_model_version_by_alias("energy", tracking.CHAMPION).version) == 2
    assert "v2 is its refit on the whole window" in entry.reason
    assert ledger.decision_on(ledger.entries(energy), 1) == ledger.decision_on(ledger.entries(energy), 2) == entry


def test_the_registry_links_the_two_versions(energy: UseCase, first: GateDecision) -> None:
    versions = {number: tracking.client().get_model_version("energy", str(number)) for number in (1, 2)}
    assert versions[1].tags[mlflow_tags.REFIT] == "2"
    assert versions[2].tags[mlflow_tags.REFIT_OF] == "1"
    assert recipe.read(energy, 2).plan.refit_of == 1


def test_the_refit_is_fitted_on_the_holdout_too(energy: UseCase, first: GateDecision) -> None:
    evaluated, refitted = recipe.read(energy, 1), recipe.read(energy, 2)
    assert refitted.data.digest == evaluated.data.digest
    assert refitted.data.holdout_start == refitted.data.end
    assert len(refitted.data.fit) == len(evaluated.data.fit) + len(evaluated.data.holdout)
    rows = evaluated.data.holdout
    assert not np.allclose(model_loading.load(energy, 1)(rows), model_loading.load(energy, 2)(rows))


@pytest.mark.parametrize("version", [1, 2])
def test_both_versions_are_reproduced_bit_for_bit(energy: UseCase, first: GateDecision, version: int) -> None:
    parts = {part.name: part.equal for part in reproduction.reproduce(energy, version).parts}
    assert parts["data"]
    assert parts["predictions"]


def test_staleness_is_measured_on_the_version_with_a_holdout(energy: UseCase, first: GateDecision) -> None:
    assert staleness.measure(energy).version == 1


def test_the_champions_metrics_are_those_that_were_evaluated(energy: UseCase, first: GateDecision) -> None:
    served = perennial.champion("energy")
    assert served.version == 2
    assert served.metrics["holdout_rmse"] == tracking.training_run(energy, 1).metrics["holdout_rmse"]


def test_each_rule_of_the_refit_is_in_the_decision(energy: UseCase, first: GateDecision) -> None:
    of_refit = {rule.name: rule for rule in first.rules if rule.name.startswith("refit: ")}
    assert {"refit: distance from the evaluated version", "refit: smoke test in a fresh process"} <= of_refit.keys()
    assert all(rule.passed for rule in of_refit.values())


def test_run_again_no_other_version_is_made(energy: UseCase, first: GateDecision) -> None:
    assert gate.evaluate(energy, 1) == first
    assert gate.refit_challenger(energy, first.model_copy(update={"challenger": 1}), None, "first") == first
    assert tracking.version_made_by(energy, f"first{mlflow_tags.BY_REFIT}") == 2


def test_off_in_one_word(energy: UseCase, first: GateDecision) -> None:
    alone = first.model_copy(update={"challenger": train(energy, "alone", window_end="2024-01-03", force=True)})
    assert gate.refit_challenger(with_gate(energy, refit=False), alone, None, "alone") == alone
    assert tracking.version_made_by(energy, f"alone{mlflow_tags.BY_REFIT}") is None


def test_a_rejected_challenger_is_not_refitted(energy: UseCase, first: GateDecision) -> None:
    rejected = gate.evaluate(energy, train(energy, "no better", window_end="2024-01-03", force=True))
    assert not rejected.promote
    assert gate.refit_challenger(energy, rejected, "never", "no better") == rejected
    assert tracking.version_made_by(energy, f"no better{mlflow_tags.BY_REFIT}") is None


def test_a_refit_is_compared_as_it_was_evaluated(energy: UseCase, first: GateDecision) -> None:
    again = gate.evaluate(energy, train(energy, "same window", window_end="2024-01-03", force=True))
    assert again.champion == 2
    assert "champion v2 as it was evaluated (v1)" in again.reason
    assert again.rows == first.rows
    assert again.improvement == pytest.approx(0)


def test_without_refits_a_challenger_must_beat_what_serves(energy: UseCase, first: GateDecision) -> None:
    version = train(energy, "what serves", window_end="2024-01-03", force=True)
    against = gate.evaluate(with_gate(energy, refit=False), version)
    assert "champion v2 on 0 rows" in against.reason


def test_changed_files_of_the_evaluated_version_are_no_reason_to_go_on(
    energy, first: GateDecision, monkeypatch
) -> None:
    def changed(*arguments: object) -> None:
        raise ChangedArtifact("model.skops was changed", "Restore it.")

    version = train(energy, "changed", window_end="2024-01-03", force=True)
    decision = first.model_copy(update={"challenger": version, "evaluated": None, "rules": []})
    monkeypatch.setattr(refit, "_made_and_checked", changed)
    with pytest.raises(ChangedArtifact):
        gate.refit_challenger(energy, decision, None, "changed")


def test_a_refit_too_far_away_leaves_the_evaluated_version(energy: UseCase, first: GateDecision) -> None:
    version = train(energy, "far", window_end="2024-01-03", force=True)
    decision = first.model_copy(update={"challenger": version, "evaluated": None, "rules": []})
    kept = gate.refit_challenger(with_gate(energy, refit_distance=1e-9), decision, None, "far")
    assert (kept.challenger, kept.evaluated, kept.promote) == (version, None, True)
    assert "not refitted on the whole window: refit: distance from the evaluated version" in kept.reason
    assert int(tracking.client().get_model_version_by_alias("energy", tracking.CHALLENGER).version) == version


def test_a_fit_that_fails_leaves_the_evaluated_version(energy: UseCase, first: GateDecision, monkeypatch) -> None:
    def fails(*arguments: object) -> int:
        raise TrainingFailed("the solver diverged", "Scale the inputs.")

    version = train(energy, "fails", window_end="2024-01-03", force=True)
    decision = first.model_copy(update={"challenger": version, "evaluated": None, "rules": []})
    monkeypatch.setattr(refit, "fit_challenger", fails)
    kept = gate.refit_challenger(energy, decision, None, "fails")
    assert (kept.challenger, kept.promote) == (version, True)
    assert kept.reason.endswith("not refitted on the whole window: the solver diverged")


def test_worse_on_rows_it_has_seen_is_no_refit(energy: UseCase) -> None:
    label = np.random.default_rng(1).normal(10, 3, 480)
    moments = pd.date_range("2024-01-01", periods=480, freq="3min", tz="UTC")
    frame = pd.DataFrame({"label": label, "event_timestamp": moments})
    good, bad = label + 0.1, label + np.random.default_rng(2).normal(0, 1, 480)
    assert all(rule.passed for rule in refit.agreement_rules(rules.Pair.of(energy, frame, good, bad)))
    (distance, quality) = refit.agreement_rules(rules.Pair.of(energy, frame, bad, good))
    assert distance.passed
    assert not quality.passed
