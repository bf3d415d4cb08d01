"""Real challengers evaluated and finalized: by the gate, by a person, and while automatic promotion is paused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import mlflow
import pytest
from pipelines import run_features_until, train

from perennial import gate, scoring
from perennial.errors import PerennialError
from perennial.gate import GateDecision
from perennial.ingestion import compute, ingest
from perennial.registry import ledger, mlflow_tags, retraining_requests, tracking
from perennial.services import postgres
from perennial.use_case import UseCase

pytestmark = pytest.mark.usefixtures("project", "mlflow_server")


@pytest.fixture(scope="module")
def energy(project, mlflow_server, energy: UseCase) -> UseCase:
    """Three days of data."""
    run_features_until(energy, "2024-01-03")
    return energy


@pytest.fixture(scope="module")
def judged(energy: UseCase) -> GateDecision:
    """The first challenger against the baseline model, not finalized yet."""
    return gate.evaluate(energy, another(energy, "first"))


def another(use_case: UseCase, name: str) -> int:
    return train(use_case, name, window_end="2024-01-03", force=True)


def borderline(decision: GateDecision, challenger: int) -> GateDecision:
    unsure = {"promote": False, "outcome": "not-enough-evidence", "borderline": True, "interval": (-0.1, 0.5)}
    return decision.model_copy(update=unsure | {"challenger": challenger})


def test_every_rule_is_in_mlflow_with_its_number(energy: UseCase, judged: GateDecision) -> None:
    assert judged.promote
    assert "beats the baseline model" in judged.reason
    names = [rule.name for rule in judged.rules]
    assert names[:2] == ["holdout rows", "blocks of 2 hours"]
    others = {"smoke test in a fresh process", "rmse increase over a constant", "rmse improvement on site=site-0"}
    assert others <= set(names)
    run = tracking.client().get_run(tracking.run_of(energy, judged.challenger))
    assert run.data.tags[mlflow_tags.GATE] == "promote"
    assert run.data.metrics["gate_gained_low"] == judged.interval[0]
    assert run.data.metrics["gate_rule/holdout rows"] == judged.rows
    assert run.data.metrics["gate_latency_seconds"] > 0
    logged = mlflow.artifacts.load_dict(f"runs:/{run.info.run_id}/gate.json")
    assert GateDecision(**logged) == judged
    assert "| holdout rows |" in mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/gate.md")


def test_judging_again_decides_the_same(energy: UseCase, judged: GateDecision) -> None:
    again = gate.evaluate(energy, judged.challenger)
    measured = {"smoke test in a fresh process", "seconds to predict a row"}
    assert [r for r in again.rules if r.name not in measured] == [r for r in judged.rules if r.name not in measured]
    assert (again.outcome, again.interval, again.reason) == (judged.outcome, judged.interval, judged.reason)


@pytest.mark.parametrize(
    ("policy", "sure", "unsure"), [("never", False, False), ("borderline", False, True), ("always", True, True)]
)
def test_a_person_is_asked_as_the_policy_says(energy, judged, policy: str, sure: bool, unsure: bool) -> None:
    assert gate.needs_approval(energy, judged, policy) is sure
    assert gate.needs_approval(energy, borderline(judged, 1), policy) is unsure
    by_use_case = energy.model_copy(update={"gate": energy.gate.model_copy(update={"approval": policy})})
    assert gate.needs_approval(by_use_case, judged) is sure
    rejected = judged.model_copy(update={"promote": False, "outcome": "reject"})
    assert not gate.needs_approval(by_use_case, rejected)


def test_what_the_gate_rejects_nobody_can_approve(energy: UseCase, judged: GateDecision) -> None:
    rejected = judged.model_copy(update={"promote": False, "outcome": "reject"})
    with pytest.raises(PerennialError, match="cannot be approved"):
        gate.finalize(energy, rejected, approved=True, actor="alice")
    assert ledger.entries(energy) == []


def test_borderline_is_promoted_by_a_persons_yes_only(energy: UseCase, judged: GateDecision) -> None:
    version = another(energy, "unsure")
    settled = gate.finalize(energy, borderline(judged, version))
    assert not settled.promote
    (entry,) = ledger.entries(energy)
    assert (entry.action, entry.evidence["outcome"]) == ("rejected", "not-enough-evidence")
    version = another(energy, "unsure too")
    assert "its improvement may be chance" in gate.approval_question(energy, borderline(judged, version))
    assert gate.finalize(energy, borderline(judged, version), True, "alice").promote
    entry = ledger.champion(energy)
    assert (entry.model_version, entry.actor, entry.evidence["promote"]) == (version, "alice", True)
    assert entry.reason.endswith("approved by alice")
    assert int(tracking.client().get_model_version_by_alias("energy", tracking.CHAMPION).version) == version


def test_paused_promotion_always_needs_a_person(energy: UseCase, judged: GateDecision) -> None:
    holding = ledger.champion(energy)
    version = another(energy, "paused")
    decision = judged.model_copy(update={"challenger": version, "champion": holding.model_version})
    with postgres.advisory_lock("promotion", energy.name):
        ledger.record(
            energy,
            partition=holding.partition,
            action="rolled-back",
            model_version=holding.model_version,
            previous_version=holding.model_version,
            model_run=holding.model_run,
            effective_from=holding.effective_from,
            actor="bob",
            reason="looks odd",
            evidence={"pause_until": (datetime.now(UTC) + timedelta(days=1)).isoformat()},
            event_id="rollback:test",
        )
    assert gate.needs_approval(energy, decision, "never")
    assert not gate.needs_approval(energy, borderline(decision, version), "never")
    assert "by bob: looks odd" in gate.approval_question(energy, decision)
    with pytest.raises(PerennialError, match="bob paused automatic promotion"):
        gate.finalize(energy, decision)
    assert ledger.champion(energy).model_version == holding.model_version
    assert gate.finalize(energy, decision, True, "alice").promote
    assert ledger.champion(energy).model_version == version


def test_a_persons_reason_follows_the_gates_in_the_ledger(energy: UseCase, judged: GateDecision) -> None:
    refused = judged.model_copy(update={"challenger": another(energy, "reasoned")})
    gate.finalize(energy, refused, approved=False, actor="bob", why="wrong at night")
    entry = ledger.decisions(energy)[-1]
    assert (entry.action, entry.actor) == ("rejected", "bob")
    assert entry.reason == f"{judged.reason}; rejected by bob: wrong at night"


def test_the_first_decision_counts(energy: UseCase, judged: GateDecision) -> None:
    holding = ledger.champion(energy)
    decision = judged.model_copy(update={"challenger": holding.model_version})
    before = ledger.entries(energy)
    assert gate.finalize(energy, decision, False, "mallory").promote
    assert ledger.entries(energy) == before
    assert gate.evaluate(energy, holding.model_version).reason == holding.reason, "nor is it compared with itself"


def test_promotion_leaves_scored_partitions_alone(energy: UseCase, judged: GateDecision) -> None:
    holding = ledger.champion(energy)
    scored = energy.partition("2024-01-04")
    ingest.ingest_partition(energy, scored)
    compute.compute_features(energy, scored)
    assert scoring.score(energy, scored)["model_version"] == holding.model_version
    version = another(energy, "late")
    decision = judged.model_copy(update={"challenger": version, "champion": holding.model_version})
    assert decision.effective_from == scored.start, "the window ends where the scored partition begins"
    settled = gate.finalize(energy, decision, True, "alice")
    assert settled.effective_from == ledger.champion(energy).effective_from == scored.end
    assert ledger.champion_at(energy, scored.start).model_version == holding.model_version
    retraining_requests.create(energy, scored, "schedule", {}, "test")
    open_requests = retraining_requests.open_requests(energy)
    assert [row["partition"] for row in open_requests] == [scored.key], "its data are new to the version all the same"


def test_interrupted_fit_leaves_only_the_registered_model(energy: UseCase) -> None:
    version = another(energy, "cut off")
    run = tracking.client().get_run(tracking.run_of(energy, version))
    with mlflow.start_run(run_id=run.info.run_id):  # As an attempt leaves it that was killed before it registered.
        mlflow.create_external_model("model", source_run_id=run.info.run_id)
    assert another(energy, "cut off") == version
    logged = tracking.client().search_logged_models(
        [run.info.experiment_id], filter_string=f"source_run_id = '{run.info.run_id}'"
    )
    registered = tracking.client().get_model_version(energy.name, str(version))
    assert [model.model_uri for model in logged] == [registered.source]


def test_window_the_champion_was_fitted_on_is_inconclusive(energy: UseCase, judged: GateDecision) -> None:
    assert ledger.champion(energy) is not None
    version = train(energy, "an earlier window", window_end="2024-01-02", force=True)
    decision = gate.evaluate(energy, version)
    assert (decision.outcome, decision.promote, decision.rows) == ("not-enough-evidence", False, 0)
