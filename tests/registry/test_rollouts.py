"""Which rollout is under way, by entries of a ledger made to show one thing each."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial import CanaryStage, Rollout, discovery
from perennial.registry import ledger, rollouts
from perennial.registry.ledger import Entry
from perennial.registry.rollouts import Stage

NOON = datetime(2024, 1, 5, 12, tzinfo=UTC)
DAY = timedelta(days=1)
POLICY = Rollout(shadow=DAY, canary=(CanaryStage(share=0.1, period=DAY), CanaryStage(share=0.5, period=2 * DAY)))
USE_CASE = discovery.load("flights").model_copy(update={"rollout": POLICY})


def entry(action: str, version: int, minute: int, before: int | None = 1, **evidence: Any) -> Entry:
    events = {"rollout": f"rollout:{version}:{minute}", "rolled-back": f"rollback:{minute}"}
    return Entry(
        event_id=events.get(action, f"gate:{version}"),
        partition="2013-03",
        action=action,  # type: ignore[arg-type]
        model_version=version,
        previous_version=before,
        model_run=f"run{version}",
        effective_from=NOON,
        actor="gate",
        reason="",
        evidence=evidence,
        recorded_at=NOON + timedelta(minutes=minute),
    )


def stage(version: int, minute: int, share: float = 0.0) -> Entry:
    return entry("rollout", version, minute, stage=Stage(share, DAY).as_json(), decision={})


FIRST = entry("promoted", 1, 0, None)


def test_without_a_rollouts_entry_none_is_under_way() -> None:
    assert rollouts.under_way(USE_CASE, []) is None
    assert rollouts.under_way(USE_CASE, [FIRST, entry("rejected", 2, 1)]) is None


def test_the_newest_stage_is_the_one_under_way() -> None:
    state = rollouts.under_way(USE_CASE, [FIRST, stage(2, 1), stage(2, 2, 0.1)])
    assert (state.version, state.champion, state.number) == (2, 1, 1)
    assert (state.stage.name, state.began, state.since) == (
        "canary 10%",
        stage(2, 1).recorded_at,
        stage(2, 2).recorded_at,
    )
    assert state.stage_ends == state.since + DAY


@pytest.mark.parametrize("action", ["promoted", "rejected"])
def test_a_decision_ends_a_rollout(action: str) -> None:
    assert rollouts.undecided([FIRST, stage(2, 1), entry(action, 2, 2)]) is None


def test_another_deployment_supersedes_a_rollout() -> None:
    entries = [FIRST, entry("promoted", 2, 1), stage(3, 2), entry("rolled-back", 1, 3, 2)]
    assert rollouts.under_way(USE_CASE, entries) is None
    assert rollouts.undecided(entries).superseded_by == entries[-1]


def test_the_next_rollout_counts_after_one_is_over() -> None:
    entries = [FIRST, stage(2, 1), entry("rejected", 2, 2), stage(3, 3)]
    assert rollouts.under_way(USE_CASE, entries).version == 3


def test_a_use_case_that_declares_none_any_more_has_none() -> None:
    assert rollouts.under_way(discovery.load("flights"), [FIRST, stage(2, 1)]) is None


def shadow(version: int, minute: int) -> Entry:
    return entry("shadow", version, minute, stage=Stage(0.0, DAY).as_json())


def test_what_a_person_put_in_shadow_is_under_way_for_its_time() -> None:
    entries = [FIRST, entry("rejected", 2, 1), shadow(2, 2)]
    state = rollouts.by_hand(entries, shadow(2, 2).recorded_at + DAY / 2)
    assert (state.version, state.champion, state.stage.name, state.is_by_hand) == (2, 1, "shadow", True)
    assert rollouts.by_hand(entries, state.stage_ends) is None
    assert rollouts.undecided(entries) is None, "the gate's rules do not look at it"


@pytest.mark.parametrize(
    "after", [entry("shadow-ended", 2, 3), entry("promoted", 3, 3), entry("rolled-back", 1, 3), stage(3, 3)]
)
def test_what_ends_a_shadow_by_hand(after: Entry) -> None:
    assert rollouts.by_hand([FIRST, shadow(2, 2), after], after.recorded_at) is None


@pytest.mark.parametrize("after", [entry("rejected", 3, 3), entry("resumed", 1, 3)])
def test_what_leaves_it_under_way(after: Entry) -> None:
    assert rollouts.by_hand([FIRST, shadow(2, 2), after], after.recorded_at).version == 2


def test_a_shadow_by_hand_needs_no_declared_rollout() -> None:
    begun = replace(shadow(2, 2), recorded_at=datetime.now(UTC))
    assert rollouts.under_way(discovery.load("flights"), [FIRST, begun]).is_by_hand


def test_a_rollouts_entry_deploys_nothing_and_is_no_decision() -> None:
    entries = [FIRST, stage(2, 1), stage(2, 2, 0.1)]
    assert ledger.champion_among(entries) == FIRST
    assert ledger.decision_on(entries, 2) is None


def test_stages_follow_one_another_as_they_are_declared_now() -> None:
    names = ["shadow", "canary 10%", "canary 50%"]
    assert [each.name for each in rollouts.stages(POLICY)] == names
    assert rollouts.following(POLICY, 0.0).name == "canary 10%"
    assert rollouts.following(POLICY, 0.3).name == "canary 50%", "also after a stage that is not declared any more"
    assert rollouts.following(POLICY, 0.5) is None


@given(share=st.floats(0, 1), seconds=st.integers(1, 10**8))
def test_a_stage_is_read_as_it_was_kept(share: float, seconds: int) -> None:
    kept = Stage(share, timedelta(seconds=seconds))
    assert Stage.of(kept.as_json()) == kept
