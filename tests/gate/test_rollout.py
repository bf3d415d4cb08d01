"""Rollouts on a real lake and a real MLflow: begun by the gate, carried on and ended by what was served."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from pipelines import run_features_until, train
from registered import promote
from rollout_cases import answered, example_rows, later, record, record_pairs

from perennial import CanaryStage, Rollout, Value, gate, lake
from perennial.errors import InvalidParams, PerennialError
from perennial.gate import GateDecision, promotion, rollback, rollout, rollout_evidence
from perennial.gate.rollback_plan import RollbackRequest
from perennial.gate.rollout_request import RolloutRequest
from perennial.registry import ledger, retraining_requests, rollouts, tracking
from perennial.use_case import UseCase

pytestmark = pytest.mark.usefixtures("project", "mlflow_server")
AN_INSTANT = timedelta(microseconds=1)
DAY = timedelta(days=1)
POLICY = Rollout(shadow=AN_INSTANT, canary=(CanaryStage(share=0.5, period=AN_INSTANT),), min_requests=10)
CHECK = RolloutRequest()


@pytest.fixture(scope="module")
def energy(project, mlflow_server, energy: UseCase) -> UseCase:
    """Four days of data and three versions; it declares a rollout."""
    run_features_until(energy, "2024-01-04")
    for number in (1, 2, 3):
        assert train(energy, f"run-{number}", window_end="2024-01-03", force=True) == number
    return energy.model_copy(update={"rollout": POLICY})


@pytest.fixture
def served(energy: UseCase) -> Iterator[UseCase]:
    """v1 is the champion; nothing was served."""
    for table in ("ledger", "served_predictions", "requests"):
        if lake.table(f"energy.{table}") is not None:
            lake.catalog().drop_table(f"energy.{table}")
    promote(energy, 1)
    return energy


def decided(use_case: UseCase, challenger: int, champion: int | None = 1, **more: object) -> GateDecision:
    """The gate would promote the challenger."""
    fields = {
        "promote": True,
        "outcome": "promote",
        "reason": f"v{challenger} beats champion v{champion}",
        "challenger": challenger,
        "champion": champion,
        "partition": "2024-01-03",
        "effective_from": use_case.partition("2024-01-03").end,
        "rows": 96,
        "improvement": 0.3,
        "interval": (0.1, 0.5),
        "confidence": 0.95,
        "rules": [],
        "metrics": {"challenger": {"rmse": 0.2}, "rival": {"rmse": 0.5}},
    }
    return GateDecision(**fields | more)


def begun(use_case: UseCase, challenger: int = 2, **more: object) -> GateDecision:
    return gate.finalize(use_case, decided(use_case, challenger, **more))


def advance(use_case: UseCase, run: str, **request: str) -> rollout.RolloutStep:
    return rollout.advance(use_case, RolloutRequest(**request), made_by=run, actor="ann")


def alias(use_case: UseCase) -> int:
    return int(tracking.client().get_model_version_by_alias(use_case.name, tracking.CHAMPION).version)


def events(use_case: UseCase) -> list[tuple[str, int]]:
    return [(entry.action, entry.model_version) for entry in ledger.entries(use_case)][1:]


def test_what_passes_the_gate_is_tried_first(served: UseCase) -> None:
    final = begun(served)
    assert not final.promote
    assert final.reason.endswith("; shadow begins")
    assert events(served) == [("rollout", 2)]
    assert (ledger.champion(served).model_version, alias(served)) == (1, 1)
    state = rollouts.under_way(served, ledger.entries(served))
    assert (state.version, state.champion, state.stage.name) == (2, 1, "shadow")
    assert GateDecision(**state.decision) == decided(served, 2)


def test_a_rollout_begins_once(served: UseCase) -> None:
    assert begun(served) == begun(served)
    assert events(served) == [("rollout", 2)]


def test_the_first_model_is_promoted_without_a_rollout(served: UseCase) -> None:
    lake.catalog().drop_table("energy.ledger")
    assert gate.finalize(served, decided(served, 2, champion=None)).promote


def test_what_the_gate_rejects_is_not_tried(served: UseCase) -> None:
    rejected = {"promote": False, "outcome": "reject"}
    begun(served, 2, **rejected)
    begun(served.model_copy(update={"rollout": instead()}), 3, **rejected)
    assert events(served) == [("rejected", 2), ("rejected", 3)]


def instead() -> Rollout:
    return POLICY.model_copy(update={"after": "instead-of-holdout"})


INCONCLUSIVE = {"promote": False, "outcome": "not-enough-evidence", "borderline": True, "interval": (-0.1, 0.5)}


@pytest.mark.parametrize("after", ["with-holdout", "instead-of-holdout"])
def test_inconclusive_is_tried_where_the_policy_says_so(served: UseCase, after: str) -> None:
    begun(served, 2, **INCONCLUSIVE)
    assert events(served) == [("rejected", 2)]
    tried = POLICY.model_copy(update={"after": after})
    begun(served.model_copy(update={"rollout": tried}), 3, **INCONCLUSIVE)
    assert events(served)[1:] == [("rollout", 3)]


@pytest.mark.parametrize(("policy", "asked"), [("never", False), ("borderline", True), ("always", True)])
def test_a_person_is_asked_before_a_rollout_as_before_a_promotion(served: UseCase, policy: str, asked: bool) -> None:
    tried = served.model_copy(update={"rollout": instead()})
    assert gate.needs_approval(tried, decided(tried, 2, **INCONCLUSIVE), policy) is asked
    assert "tried on live requests first" in gate.approval_question(tried, decided(tried, 2))


def test_who_rejects_a_challenger_keeps_it_from_being_tried(served: UseCase) -> None:
    tried = served.model_copy(update={"rollout": instead()})
    gate.finalize(tried, decided(tried, 2, **INCONCLUSIVE), approved=False, actor="ann")
    assert events(served) == [("rejected", 2)]
    gate.finalize(tried, decided(tried, 3, **INCONCLUSIVE), approved=True, actor="ann")
    assert (events(served)[1:], ledger.entries(served)[-1].actor) == ([("rollout", 3)], "ann")


def test_a_rollout_handles_the_requests_for_retraining(served: UseCase) -> None:
    retraining_requests.create(served, served.partition("2024-01-03"), "drift", {}, "run")
    retraining_requests.create(served, served.partition("2024-01-06"), "drift", {}, "run")
    begun(served)
    assert [row["partition"] for row in retraining_requests.open_requests(served)] == ["2024-01-06"]


def test_while_one_is_under_way_a_newer_challenger_is_rejected(served: UseCase) -> None:
    begun(served)
    begun(served, 3)
    assert events(served) == [("rollout", 2), ("rejected", 3)]
    assert "the rollout of v2 is under way" in ledger.entries(served)[-1].reason


def test_without_requests_a_stage_goes_on(served: UseCase) -> None:
    begun(served)
    step = rollout.advance(served, CHECK, made_by="a")
    assert (step.stage, step.changed) == ("shadow", False)
    assert "predictions of the challenger in this stage 0 of 10" in step.reason


def test_shadow_and_canary_end_in_a_promotion(served: UseCase) -> None:
    begun(served)
    examples = example_rows(served, "2024-01-03")
    record_pairs(served, examples, {1: 0.5, 2: 0.1}, champion=1)
    step = rollout.advance(served, CHECK, made_by="a")
    assert (step.stage, step.changed, step.promoted) == ("canary 50%", True, False)
    assert ledger.champion(served).model_version == 1
    assert not rollout.advance(served, CHECK, made_by="b").changed, "the challenger has answered nobody yet"
    rows = []
    for example in example_rows(served, "2024-01-04")[:20]:
        right = example["label"]
        rows += answered(example, answer=(2, right), shadow=(1, right + 1), served_as="canary")
    record(served, rows)
    step = rollout.advance(served, CHECK, made_by="c")
    assert (step.promoted, step.stage) == (True, None)
    assert events(served) == [("rollout", 2), ("rollout", 2), ("promoted", 2)]
    assert alias(served) == 2
    final = promotion.final_decision(served, 2)
    assert final.metrics == decided(served, 2).metrics, "monitors go on comparing with the holdout"
    assert {"live: holdout rows", "live: share of failed predictions"} <= {rule.name for rule in final.rules}


@pytest.mark.parametrize("alone", [{}, INCONCLUSIVE])
def test_the_ledger_keeps_what_both_said_together(served: UseCase, alone: dict[str, object]) -> None:
    """The improvement is that of holdout and live requests, all else is the holdout's, whatever that said alone."""
    tried = served.model_copy(update={"rollout": POLICY.model_copy(update={"after": "with-holdout"})})
    on_holdout = begun(tried, 2, metric=tried.gate.metric, **alone)
    advance(tried, "a", action="advance", reason="looks good")
    record_pairs(tried, example_rows(tried, "2024-01-03"), {1: 0.5, 2: 0.49}, champion=1)
    rows = []
    for example in example_rows(tried, "2024-01-04")[:20]:
        rows += answered(
            example, answer=(2, example["label"] + 0.49), shadow=(1, example["label"] + 0.5), served_as="canary"
        )
    record(tried, rows)
    assert rollout.advance(tried, CHECK, made_by="b").stage is None
    final = promotion.final_decision(tried, 2)
    assert final.interval[0] < final.improvement < final.interval[1] < 0.1, "the live requests are far surer"
    assert (final.metrics, final.rows) == (on_holdout.metrics, on_holdout.rows)


def test_what_is_worse_is_rejected_and_the_champion_stays(served: UseCase) -> None:
    begun(served)
    record_pairs(served, example_rows(served, "2024-01-03", "2024-01-04"), {1: 0.1, 2: 3.0}, champion=1)
    step = rollout.advance(served, CHECK, made_by="a")
    assert (step.changed, step.promoted) == (True, False)
    assert events(served) == [("rollout", 2), ("rejected", 2)]
    assert alias(served) == 1
    assert rollout.advance(served, CHECK, made_by="b").reason == "No rollout is under way."


def test_a_challenger_that_fails_is_rejected_without_labels(served: UseCase) -> None:
    begun(served)
    rows = []
    for example in example_rows(served, "2024-01-03")[:40]:
        rows += answered(example, answer=(1, 1.0), shadow=(2, None))
    record(served, rows)
    rollout.advance(served, CHECK, made_by="a")
    assert "share of failed predictions" in ledger.entries(served)[-1].reason


def test_only_requests_before_the_label_count_and_one_an_example(served: UseCase) -> None:
    begun(served)
    first, second = example_rows(served, "2024-01-03")[:2]
    rows = []
    for minutes, value in ((0, 1.0), (10, 2.0), (90, 3.0)):
        asked = later(first, timedelta(minutes=minutes))
        rows += answered(asked, answer=(1, value), shadow=(2, value + 0.5))
    rows += answered(later(second, timedelta(hours=2)), answer=(1, 7.0), shadow=(2, 8.0))
    record(served, rows)
    state = rollouts.under_way(served, ledger.entries(served))
    seen = rollout_evidence.read(served, state)
    assert seen.pairs[["champion", "challenger"]].to_numpy().tolist() == [[2.0, 2.5]]
    assert (seen.unlabelled, seen.tried) == (3, 4)


def test_what_no_request_has_of_a_value_comes_with_the_label(served: UseCase) -> None:
    begun(served)
    example = example_rows(served, "2024-01-03")[5]
    record(served, answered(example, answer=(1, 1.0), shadow=(2, 1.5)))
    valued = served.model_copy(update={"value": Value(function="worth", columns=("hour_sin", "event_timestamp"))})
    seen = rollout_evidence.read(valued, rollouts.under_way(served, ledger.entries(served)))
    assert seen.pairs["hour_sin"].tolist() == [example["hour_sin"]]


def test_what_was_answered_before_the_rollout_is_not_counted(served: UseCase) -> None:
    example = example_rows(served, "2024-01-03")[0]
    before = datetime.now(UTC) - timedelta(seconds=5)
    record(served, answered(example, answer=(1, 1.0), shadow=(2, 1.0), answered_at=before))
    begun(served)
    state = rollouts.under_way(served, ledger.entries(served))
    seen = rollout_evidence.read(served, state)
    assert (len(seen.pairs), seen.tried) == (0, 0)


def test_a_rollback_in_the_middle_ends_the_rollout(served: UseCase) -> None:
    promote(served, 3)
    begun(served, 2, champion=3)
    rollback.roll_back(served, RollbackRequest(to=1, reason="wrong"), made_by="run", actor="ann")
    assert rollouts.under_way(served, ledger.entries(served)) is None
    rollout.advance(served, CHECK, made_by="a")
    assert "v1 serves since" in ledger.entries(served)[-1].reason
    assert (ledger.champion(served).model_version, alias(served)) == (1, 1)


def test_a_person_aborts_and_advances(served: UseCase) -> None:
    begun(served)
    assert advance(served, "a", action="advance", reason="looks good").stage == "canary 50%"
    assert advance(served, "a", action="advance", reason="looks good").stage == "canary 50%", "the run is repeated"
    entry = ledger.entries(served)[-1]
    assert (entry.actor, entry.reason.endswith("looks good")) == ("ann", True)
    advance(served, "b", action="abort", reason="odd")
    assert events(served)[-1] == ("rejected", 2)
    with pytest.raises(InvalidParams, match="nothing to abort"):
        advance(served, "c", action="abort", reason="again")


def test_a_person_promotes_from_the_last_stage(served: UseCase) -> None:
    begun(served)
    advance(served, "a", action="advance", reason="sure")
    assert advance(served, "b", action="advance", reason="sure").promoted
    assert (alias(served), ledger.champion(served).actor) == (2, "ann")


def test_killed_before_the_alias_moved_the_run_completes_it(served: UseCase, monkeypatch: pytest.MonkeyPatch) -> None:
    begun(served)
    advance(served, "a", action="advance", reason="sure")
    with monkeypatch.context() as killed:
        killed.setattr(tracking, "promote", lambda *_: (_ for _ in ()).throw(PerennialError("killed", "")))
        with pytest.raises(PerennialError, match="killed"):
            advance(served, "b", action="advance", reason="sure")
    assert (ledger.champion(served).model_version, alias(served)) == (2, 1)
    step = advance(served, "b", action="advance", reason="sure")
    assert (step.promoted, alias(served)) == (True, 2), "its event goes out too"


def test_two_at_once_make_one_step(served: UseCase) -> None:
    begun(served)
    record_pairs(served, example_rows(served, "2024-01-03"), {1: 0.5, 2: 0.1}, champion=1)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda run: rollout.advance(served, CHECK, made_by=run), ("a", "b")))
    assert events(served) == [("rollout", 2), ("rollout", 2)]


def test_a_rollout_that_stays_undecided_ends(served: UseCase) -> None:
    short = POLICY.model_copy(update={"longest": 2 * AN_INSTANT})
    hasty = served.model_copy(update={"rollout": short})
    begun(hasty)
    rollout.advance(hasty, CHECK, made_by="a")
    entry = ledger.entries(served)[-1]
    assert (entry.action, entry.evidence["outcome"]) == ("rejected", "not-enough-evidence")
