"""Challengers are loaded when the ledger tells of a rollout; what cannot be loaded never harms what serves."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest
from served import entry, version

from perennial import CanaryStage, Rollout
from perennial.errors import ChangedArtifact, ServiceUnavailable
from perennial.feature_store import repository
from perennial.lake_cache import catalog
from perennial.registry import ledger, rollouts
from perennial.registry.ledger import Entry
from perennial.registry.rollouts import DECISION, STAGE, Stage
from perennial.serving import loaded_version
from perennial.serving.champions import Champions, ServingState

DAY = timedelta(days=1)
POLICY = Rollout(shadow=DAY, canary=(CanaryStage(share=0.5, period=DAY),))
USE_CASE = version().use_case.model_copy(update={"rollout": POLICY})


def stage(number: int, share: float = 0.0) -> Entry:
    evidence = {STAGE: Stage(share, DAY).as_json(), DECISION: {}}
    return replace(entry(number), event_id=f"rollout:{number}:{share}", action="rollout", evidence=evidence)


@dataclass
class Ledger:
    """A ledger of energy that v1 serves, and what loading its versions does."""

    entries: list[Entry] = field(default_factory=lambda: [entry(1)])
    definitions: str = "a"
    failing: dict[int, Exception] = field(default_factory=dict)
    loads: list[int] = field(default_factory=list)

    def add(self, *more: Entry) -> None:
        for each in more:
            before = self.entries[-1]
            moment = before.recorded_at + timedelta(minutes=1)
            serving = ledger.champion_among(self.entries)
            self.entries.append(replace(each, recorded_at=moment, previous_version=serving.model_version))


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Ledger:
    here = Ledger()

    def load(use_case: object, named: Entry, definitions: str) -> loaded_version.LoadedVersion:
        here.loads.append(named.model_version)
        if named.model_version in here.failing:
            raise here.failing[named.model_version]
        return replace(version(named.model_version, definitions=definitions), entry=named)

    monkeypatch.setattr(catalog, "locations", lambda names: dict.fromkeys(names, f"{len(here.entries)}"))
    monkeypatch.setattr(repository, "applied_digest", lambda: here.definitions, raising=False)
    monkeypatch.setattr(repository, "join_keys", lambda _: ["site", "meter"], raising=False)
    monkeypatch.setattr(ledger, "entries", lambda use_case: list(here.entries))
    monkeypatch.setattr(loaded_version, "load", load)
    return here


@pytest.fixture
def served(world: Ledger) -> Champions:
    made = Champions([USE_CASE])
    made.refresh()
    return made


def later(served: Champions, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next refresh is one of the seldom ones."""
    monkeypatch.setattr(served, "_next_look", 0.0)
    served.refresh()


def test_a_challenger_is_loaded_when_its_rollout_begins(world: Ledger, served: Champions) -> None:
    assert served.challengers.of("energy") is None
    world.add(stage(2))
    served.refresh()
    trial = served.challengers.of("energy")
    assert (trial.version.number, trial.state.stage.name, trial.entity) == (2, "shadow", ("site", "meter"))
    assert served.version("energy").number == 1
    assert served.state() == {"energy": ServingState(1, 1, None, 2, "shadow")}


def in_shadow(number: int) -> Entry:
    evidence = {STAGE: Stage(0.0, 10**5 * DAY).as_json()}
    return replace(entry(number), event_id=f"shadow:{number}", action="shadow", evidence=evidence)


def test_what_a_person_puts_in_shadow_needs_no_declared_rollout(world: Ledger) -> None:
    served = Champions([version().use_case])
    assert version().use_case.rollout is None
    world.add(in_shadow(2))
    served.refresh()
    trial = served.challengers.of("energy")
    assert (trial.version.number, trial.entity, trial.shadow_share) == (2, ("site", "meter"), 1.0)
    assert served.state() == {"energy": ServingState(1, 1, None, 2, "shadow")}
    world.add(replace(entry(2), event_id="shadow-ended:a", action="shadow-ended"))
    served.refresh()
    assert served.challengers.of("energy") is None


def test_it_ends_by_the_clock_without_an_entry(
    world: Ledger, served: Champions, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.add(in_shadow(2))
    served.refresh()
    trial = served.challengers.of("energy")
    over = replace(trial, state=replace(trial.state, stage=Stage(0.0, timedelta(0))))
    monkeypatch.setitem(served.challengers._trials, "energy", over)
    assert served.challengers.of("energy") is None
    assert served.challengers.over() == {"energy"}
    monkeypatch.setattr(rollouts, "by_hand", lambda entries, now: None)
    served.refresh()
    assert served.challengers.over() == set(), "its memory is given back"


def test_the_next_stage_loads_nothing_anew(world: Ledger, served: Champions) -> None:
    world.add(stage(2), stage(2, 0.5))
    served.refresh()
    assert served.challengers.of("energy").state.stage.share == 0.5
    world.add(stage(2, 0.9))
    served.refresh()
    assert served.challengers.of("energy").state.stage.share == 0.9
    assert world.loads == [1, 2]


def test_a_promotion_serves_the_challenger_as_it_is_loaded(world: Ledger, served: Champions) -> None:
    world.add(stage(2))
    served.refresh()
    world.add(replace(entry(2), event_id="gate:2"))
    served.refresh()
    assert (served.version("energy").number, served.version("energy").entry.action) == (2, "promoted")
    assert served.challengers.of("energy") is None
    assert world.loads == [1, 2]


@pytest.mark.parametrize("action", ["rejected", "rolled-back"])
def test_a_rejection_or_rollback_ends_the_trial(world: Ledger, served: Champions, action: str) -> None:
    world.add(stage(2))
    served.refresh()
    number, event = (2, "gate:2") if action == "rejected" else (1, "rollback:run")
    world.add(replace(entry(number), event_id=event, action=action))
    served.refresh()
    assert served.challengers.of("energy") is None
    assert served.version("energy").number == 1


def test_a_challenger_that_cannot_be_loaded_harms_nobody(
    world: Ledger, served: Champions, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.failing[2] = ChangedArtifact("model.skops is another file.")
    world.add(stage(2, 0.5))
    served.refresh()
    served.refresh()
    assert served.state() == {"energy": ServingState(1, 1, None, 2, "canary 50%", "ChangedArtifact")}
    assert not served.challengers.of("energy").is_canary({"site": "s", "meter": "m"})
    assert world.loads == [1, 2], "it is not tried again at once"
    world.failing.clear()
    later(served, monkeypatch)
    assert served.challengers.of("energy").version.number == 2


def test_a_ledger_that_does_not_answer_changes_nothing(
    world: Ledger, served: Champions, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.add(stage(2))
    served.refresh()

    def away(use_case: object) -> list[Entry]:
        raise ServiceUnavailable("The lake is away.")

    monkeypatch.setattr(ledger, "entries", away)
    served.challengers.refresh(USE_CASE, served.version("energy"), "a")
    assert served.challengers.of("energy").state.version == 2


def test_an_entity_that_no_request_has_is_a_problem(world: Ledger) -> None:
    named = POLICY.model_copy(update={"entity": ("customer",)})
    made = Champions([USE_CASE.model_copy(update={"rollout": named})])
    world.add(stage(2))
    made.refresh()
    trial = made.challengers.of("energy")
    assert trial.version is None
    assert "rollout.entity names customer" in trial.problem.problem


def test_without_a_declared_rollout_there_is_no_trial(world: Ledger) -> None:
    made = Champions([version().use_case])
    world.add(stage(2))
    made.refresh()
    assert made.challengers.of("energy") is None
