"""Versions that a person puts in shadow, on a real lake and a real MLflow."""

from __future__ import annotations

from datetime import timedelta

import pytest
from pipelines import run_features_until, train
from registered import promote
from rollout_cases import example_rows, record_pairs

from perennial import Rollout, gate, lake
from perennial.errors import InvalidParams, UnknownVersion
from perennial.gate import GateDecision, rollout, rollout_request
from perennial.gate.rollout_request import RolloutRequest
from perennial.registry import ledger, rollouts, tracking
from perennial.reporting import partition_status
from perennial.use_case import UseCase

pytestmark = pytest.mark.usefixtures("project", "mlflow_server")
AN_INSTANT = timedelta(microseconds=1)


@pytest.fixture(scope="module")
def energy(project, mlflow_server, energy: UseCase) -> UseCase:
    """Three versions; it declares no rollout."""
    run_features_until(energy, "2024-01-04")
    for number in (1, 2, 3):
        assert train(energy, f"run-{number}", window_end="2024-01-03", force=True) == number
    assert energy.rollout is None
    return energy


@pytest.fixture
def served(energy: UseCase) -> UseCase:
    """v2 is the champion after v1."""
    for table in ("ledger", "served_predictions"):
        if lake.table(f"energy.{table}") is not None:
            lake.catalog().drop_table(f"energy.{table}")
    promote(energy, 1)
    promote(energy, 2)
    return energy


def run(use_case: UseCase, name: str, action: str = "begin", **request: object) -> rollout.RolloutStep:
    asked = RolloutRequest(action=action, **{"reason": "a look"} | request)
    return rollout.advance(use_case, asked, made_by=name, actor="ann")


def events(use_case: UseCase) -> list[tuple[str, int]]:
    return [(entry.action, entry.model_version) for entry in ledger.entries(use_case)][2:]


def decided(use_case: UseCase, **more: object) -> GateDecision:
    evidence = {"challenger": 3, "champion": 2, "partition": "2024-01-03", "rows": 96, "rules": [], "metrics": {}}
    times = {"effective_from": use_case.partition("2024-01-03").end}
    return GateDecision(**{"promote": True, "outcome": "promote", "reason": "better", **evidence, **times} | more)


def test_a_person_puts_a_version_in_shadow(served: UseCase) -> None:
    step = run(served, "a", version=3)
    assert (step.model_version, step.stage, step.changed, step.promoted) == (3, "shadow", True, False)
    entry = ledger.entries(served)[-1]
    assert (entry.action, entry.model_version, entry.previous_version) == ("shadow", 3, 2)
    assert (entry.actor, entry.reason, entry.model_run) == ("ann", "a look", tracking.run_of(served, 3))
    state = rollouts.under_way(served, ledger.entries(served))
    assert state.stage_ends - state.began == rollouts.LONGEST
    assert ledger.champion(served).model_version == 2


def test_unless_one_is_named_it_is_the_one_that_served_before(served: UseCase) -> None:
    assert run(served, "a").model_version == 1


def test_a_run_that_is_repeated_records_it_once(served: UseCase) -> None:
    assert run(served, "a", version=3) == run(served, "a", version=3)
    assert events(served) == [("shadow", 3)]


def test_a_version_that_is_in_shadow_already_stays_there(served: UseCase) -> None:
    run(served, "a", version=3)
    step = run(served, "b", version=3)
    assert (step.model_version, step.changed) == (3, False)
    assert "put there by ann" in step.reason
    assert events(served) == [("shadow", 3)]


def test_another_one_has_to_wait_for_its_end(served: UseCase) -> None:
    run(served, "a", version=3)
    with pytest.raises(InvalidParams, match="v3 is in shadow beside v2"):
        run(served, "b", version=1)


def test_a_person_ends_it(served: UseCase) -> None:
    run(served, "a", version=3)
    for _ in range(2):
        step = run(served, "b", "abort", reason="seen enough")
        assert (step.model_version, step.stage, step.changed) == (3, None, True)
    assert events(served) == [("shadow", 3), ("shadow-ended", 3)]
    assert rollouts.under_way(served, ledger.entries(served)) is None
    assert ledger.decision_on(ledger.entries(served), 3) is None, "nothing was decided on it"


def test_it_has_no_next_stage_and_is_never_promoted(served: UseCase) -> None:
    run(served, "a", version=3)
    record_pairs(served, example_rows(served, "2024-01-03", "2024-01-04"), {2: 3.0, 3: 0.1}, champion=2)
    step = rollout.advance(served, RolloutRequest(), made_by="b")
    assert (step.changed, step.stage, step.promoted) == (False, "shadow", False)
    with pytest.raises(InvalidParams, match="nothing to advance") as refused:
        run(served, "c", "advance")
    assert "it has no next stage" in refused.value.fix
    assert events(served) == [("shadow", 3)]


def test_what_the_gate_rejected_may_be_looked_at(served: UseCase) -> None:
    gate.finalize(served, decided(served, promote=False, outcome="reject"))
    run(served, "a", version=3)
    assert events(served) == [("rejected", 3), ("shadow", 3)]


def test_the_gates_own_rollout_takes_its_place_and_counts_for_itself(served: UseCase) -> None:
    declared = served.model_copy(update={"rollout": Rollout(shadow=AN_INSTANT, min_requests=10)})
    run(declared, "a", version=3)
    record_pairs(served, example_rows(served, "2024-01-03"), {2: 3.0, 3: 0.1}, champion=2)
    gate.finalize(declared, decided(declared))
    assert events(served) == [("shadow", 3), ("rollout", 3)]
    assert not rollouts.under_way(declared, ledger.entries(declared)).is_by_hand
    step = rollout.advance(declared, RolloutRequest(), made_by="b")
    assert (step.changed, "predictions of the challenger in this stage 0 of 10" in step.reason) == (False, True)
    with pytest.raises(InvalidParams, match="the rollout of v3 is under way"):
        run(declared, "c", version=1)


@pytest.mark.parametrize(("version", "says"), [(2, "v2 serves itself"), (99, "99")])
def test_what_cannot_be_in_shadow_is_refused(served: UseCase, version: int, says: str) -> None:
    with pytest.raises((InvalidParams, UnknownVersion), match=says):
        run(served, "a", version=version)
    assert events(served) == []


def test_without_a_champion_or_one_before_it_somebody_has_to_choose(energy: UseCase) -> None:
    lake.catalog().drop_table("energy.ledger")
    with pytest.raises(InvalidParams, match="has no champion yet"):
        run(energy, "a")
    promote(energy, 1)
    with pytest.raises(InvalidParams, match="no version served before v1"):
        run(energy, "a")


def test_nothing_to_end_is_said(served: UseCase) -> None:
    with pytest.raises(InvalidParams, match="nothing to abort"):
        run(served, "a", "abort")


def test_the_status_says_who_put_it_there(served: UseCase) -> None:
    run(served, "a", version=3)
    shown = str(partition_status.status(served).rollout)
    assert shown.startswith("v3 is in shadow beside v2, put there by ann: since ")
    assert shown.endswith(" at the latest")


@pytest.mark.parametrize("conf", [{"action": "begin"}, {"action": "abort", "reason": "x", "version": 2}])
def test_a_request_has_a_reason_and_a_version_only_where_one_is_taken(conf: dict[str, object]) -> None:
    with pytest.raises(InvalidParams, match=r"flights\.rollout"):
        rollout_request.parse("flights", conf)
