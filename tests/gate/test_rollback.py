"""Rolling back on a real lake and a real MLflow: one step, once, also when killed in between or asked for twice."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from pipelines import run_features_until
from registered import promote, register

from perennial import gate, lake, scoring
from perennial.errors import InvalidParams, PerennialError
from perennial.gate import rollback, rollback_plan
from perennial.gate.rollback_plan import RollbackRequest
from perennial.registry import ledger, model_loading, tracking
from perennial.registry.ledger import Entry
from perennial.training import fit
from perennial.use_case import UseCase

pytestmark = pytest.mark.usefixtures("project", "mlflow_server")
DAYS = ("2024-01-03", "2024-01-04", "2024-01-05")


@pytest.fixture(scope="module")
def energy(project, mlflow_server, energy: UseCase) -> UseCase:
    """Five days of data and three registered versions, of which each predicts its own number."""
    run_features_until(energy, DAYS[-1])
    for number in (1, 2, 3):
        register(energy, fit.feature_columns(energy), number)
    return energy


@pytest.fixture
def served(energy: UseCase) -> UseCase:
    """v1 has served, then v2; v3 serves. No partition is scored."""
    for table in ("ledger", "predictions"):
        if lake.table(f"energy.{table}") is not None:
            lake.catalog().drop_table(f"energy.{table}")
    for version in (1, 2, 3):
        promote(energy, version)
    return energy


def roll_back(use_case: UseCase, made_by: str = "run", **request) -> Entry:
    return rollback.roll_back(use_case, RollbackRequest(**{"reason": "bad"} | request), made_by=made_by, actor="ada")


def alias() -> int:
    return int(tracking.client().get_model_version_by_alias("energy", tracking.CHAMPION).version)


def test_previous_version_serves_again_and_is_in_the_ledger(served: UseCase) -> None:
    entry = roll_back(served, reason="  wrong at night ")
    assert (entry.action, entry.previous_version, entry.model_version) == ("rolled-back", 3, 2)
    assert (entry.actor, entry.reason) == ("ada", "wrong at night")
    assert entry.model_run == tracking.run_of(served, 2)
    assert ledger.champion(served) == entry
    assert alias() == 2


def test_rolling_back_twice_goes_further_back_and_not_to_and_fro(served: UseCase) -> None:
    assert [roll_back(served, made_by).model_version for made_by in "ab"] == [2, 1]
    with pytest.raises(InvalidParams, match="no version served before v1"):
        roll_back(served, "c")
    assert alias() == 1


def test_a_version_that_was_rolled_back_returns_when_it_is_named(served: UseCase) -> None:
    roll_back(served, "a")
    assert roll_back(served, "b", to=3).previous_version == 2
    assert rollback_plan.plan(served).version == 2, "what served before v3 came back"
    assert roll_back(served, "c", to=1).model_version == 1


def test_rollback_after_a_promotion_returns_to_the_one_before(served: UseCase) -> None:
    roll_back(served, "a", to=1)
    assert rollback_plan.plan(served, to=2).version == 2
    ledger.record(
        served,
        event_id="gate:4",
        partition="2024-01-04",
        action="promoted",
        model_version=4,
        previous_version=1,
        model_run="r",
        effective_from=served.partition("2024-01-05").start,
        actor="gate",
        reason="",
        evidence={},
    )
    assert rollback_plan.plan(served).version == 1


@pytest.mark.parametrize(("to", "message"), [(9, "v9 has never served"), (3, "v3 serves already")])
def test_only_another_version_that_has_served_can_be_named(served: UseCase, to: int, message: str) -> None:
    with pytest.raises(InvalidParams, match=message) as refused:
        roll_back(served, to=to)
    assert "v1, v2, v3" in refused.value.fix
    assert alias() == 3
    assert ledger.champion(served).action == "promoted"


def test_without_a_champion_there_is_nothing_to_roll_back(energy: UseCase) -> None:
    nobody = energy.model_copy(update={"name": "nobody"})
    with pytest.raises(InvalidParams, match="no champion yet"):
        rollback_plan.plan(nobody)


@pytest.mark.parametrize("where", ["record", "promote"])
def test_killed_rollback_run_again_ends_as_one_rollback(served, where, monkeypatch) -> None:
    owner = ledger if where == "record" else tracking
    with monkeypatch.context() as killed:
        killed.setattr(owner, where, lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            roll_back(served)
    assert roll_back(served).model_version == 2
    assert [entry.action for entry in ledger.entries(served)].count("rolled-back") == 1
    assert alias() == ledger.champion(served).model_version == 2


def test_run_cleared_later_keeps_what_was_decided_since(served: UseCase) -> None:
    first = roll_back(served, "a")
    roll_back(served, "b", to=3)
    assert roll_back(served, "a") == first
    assert alias() == ledger.champion(served).model_version == 3


def test_the_same_run_twice_at_once_rolls_back_once(served: UseCase) -> None:
    with ThreadPoolExecutor(2) as both:
        entries = list(both.map(lambda _: roll_back(served), range(2)))
    assert entries[0] == entries[1]
    assert ledger.champion(served).model_version == 2


def test_two_rollbacks_to_one_version_go_no_further(served: UseCase) -> None:
    def attempt(made_by: str) -> str:
        try:
            return roll_back(served, made_by, to=2).action
        except InvalidParams as error:
            return error.problem

    with ThreadPoolExecutor(2) as both:
        outcomes = sorted(both.map(attempt, "ab"))
    assert outcomes == ["Use case 'energy': v2 serves already.", "rolled-back"]
    assert alias() == 2


def test_scored_partition_keeps_its_version_after_rollback(served: UseCase) -> None:
    first, second, _ = (served.partition(day) for day in DAYS)
    scoring.score(served, first)
    entry = roll_back(served)
    assert entry.effective_from == first.end
    assert entry.partition == first.key
    assert ledger.champion_at(served, first.start).model_version == 3, "late rows of it meet the same version"
    assert scoring.score(served, second) == {"model_version": 2, "predictions": 288}
    assert set(lake.read("energy.predictions", partitions=[second.key])["prediction"].to_pylist()) == {2.0}
    assert roll_back(served, "again").effective_from == second.end


def test_a_rollback_does_not_reach_back_before_what_it_ends(served: UseCase) -> None:
    assert rollback_plan.plan(served).effective_from == served.partition("2024-01-02").end


def test_partition_scored_meanwhile_gets_the_ledgers_version(served: UseCase, monkeypatch: pytest.MonkeyPatch) -> None:
    partition = served.partition(DAYS[0])
    monkeypatch.setattr(model_loading, "load", _once(model_loading.load, lambda: roll_back(served)))
    assert scoring.score(served, partition)["model_version"] == 2
    assert set(lake.read("energy.predictions")["model_version"].to_pylist()) == {2}
    assert ledger.champion_at(served, partition.start).model_version == 2


def _once(load: Callable, act: Callable) -> Callable:
    """`load`, which in its first call lets something else happen."""
    pending = [act]

    def loaded(*arguments):
        model = load(*arguments)
        if pending:
            pending.pop()()
        return model

    return loaded


def test_version_gone_from_the_registry_changes_nothing(energy, served) -> None:
    gone = register(energy, fit.feature_columns(energy), 7)
    promote(energy, gone)
    roll_back(served, "a")
    tracking.client().delete_model_version("energy", str(gone))
    with pytest.raises(PerennialError, match=f"no version {gone}"):
        roll_back(served, "b", to=gone)
    assert ledger.champion(served).model_version == alias() == 3


def test_a_version_whose_feature_is_no_longer_served_is_refused(energy: UseCase, served: UseCase) -> None:
    old = register(energy, ["no_longer_served", *fit.feature_columns(energy)], 8)
    promote(energy, old)
    roll_back(served, "a")
    with pytest.raises(PerennialError, match="no_longer_served") as refused:
        roll_back(served, "b", to=old)
    assert "feature_repo" in refused.value.fix


def test_promotion_pauses_for_a_time_or_until_resumed(served: UseCase) -> None:
    assert ledger.pause(served) is None
    roll_back(served, "a", pause="2d")
    left = ledger.pause(served).until - datetime.now(UTC)
    assert timedelta(days=2) - timedelta(minutes=1) < left < timedelta(days=2)
    roll_back(served, "b")
    pause = ledger.pause(served)
    assert (pause.until, pause.by, pause.reason) == (None, "ada", "bad")
    roll_back(served, "c", to=3, pause="0h")
    assert ledger.pause(served) == pause, "no rollback ends a pause"


def test_a_person_resumes_once_and_only_what_is_paused(served: UseCase) -> None:
    request = RollbackRequest(action="resume", reason="mended")
    roll_back(served)
    entry = rollback.resume(served, request, made_by="run", actor="bob")
    assert (entry.action, entry.model_version, entry.actor, entry.reason) == ("resumed", 2, "bob", "mended")
    assert ledger.pause(served) is None
    assert rollback.resume(served, request, made_by="run", actor="bob") == entry
    with pytest.raises(InvalidParams, match="not paused"):
        rollback.resume(served, request, made_by="another run", actor="bob")
    assert ledger.champion(served).action == "rolled-back"


def promotable(use_case: UseCase, challenger: int, champion: int) -> gate.GateDecision:
    """What the gate says of a challenger that beat `champion`."""
    partition = use_case.partition("2024-01-02")
    return gate.GateDecision(
        promote=True,
        outcome="promote",
        reason="better",
        challenger=challenger,
        champion=champion,
        partition=partition.key,
        effective_from=partition.end,
        rows=100,
        rules=[],
        metrics={},
    )


def test_challenger_evaluated_before_rollback_is_not_promoted(energy: UseCase, served: UseCase) -> None:
    challenger = register(energy, fit.feature_columns(energy), 9)
    decision = promotable(served, challenger, champion=3)
    roll_back(served, "a", pause="0h")
    with pytest.raises(PerennialError, match="compared with v3, but the champion is now v2"):
        gate.finalize(served, decision)
    with pytest.raises(PerennialError, match="compared with v3, but the champion is now v2"):
        gate.finalize(served, decision, True, "bob")
    # To and fro: the rival is the same again, but promotion is paused, and no person was asked.
    roll_back(served, "b", to=3)
    with pytest.raises(PerennialError, match="paused automatic promotion"):
        gate.finalize(served, decision)
    assert ledger.champion(served).model_version == alias() == 3


def test_a_promotion_after_a_rollback_serves_from_then_on(energy: UseCase, served: UseCase) -> None:
    first, second, _ = (served.partition(day) for day in DAYS)
    scoring.score(served, first)
    roll_back(served)
    # Trained on less than what is scored already: what is scored stays with whom it was scored by.
    promote(served, register(energy, fit.feature_columns(energy), 10))
    newest = ledger.champion(served)
    assert newest.action == "promoted"
    assert ledger.champion_at(served, first.start).model_version == 3
    assert ledger.champion_at(served, second.start) == newest
