"""What a server serves follows the ledger; what cannot be loaded never replaces what serves."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass, field

import pytest
from served import entry, version

from perennial.errors import ChangedArtifact, ServiceUnavailable, UnknownVersion
from perennial.feature_store import repository
from perennial.lake_cache import catalog
from perennial.registry import ledger
from perennial.serving import champions, loaded_version
from perennial.serving.champions import Champions, ServingState


@dataclass
class Ledger:
    """A ledger of energy, and what loading its versions does."""

    number: int | None = 1
    commits: int = 0
    definitions: str = "a"
    is_away: bool = False
    failing: set[int] = field(default_factory=set)
    loads: list[int] = field(default_factory=list)

    def promote(self, number: int) -> None:
        self.number, self.commits = number, self.commits + 1


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Ledger:
    here = Ledger()

    def locations(identifiers: list[str]) -> dict[str, str]:
        if here.is_away:
            raise ServiceUnavailable("PostgreSQL does not answer.")
        return dict.fromkeys(identifiers, f"metadata/{here.commits}")

    def load(use_case: object, named: ledger.Entry, definitions: str) -> loaded_version.LoadedVersion:
        here.loads.append(named.model_version)
        if named.model_version in here.failing:
            raise ChangedArtifact("model.skops is another file.")
        return version(named.model_version, definitions=definitions)

    monkeypatch.setattr(catalog, "locations", locations)
    monkeypatch.setattr(repository, "applied_digest", lambda: here.definitions, raising=False)
    monkeypatch.setattr(ledger, "champion", lambda use_case: entry(here.number) if here.number else None)
    monkeypatch.setattr(loaded_version, "load", load)
    return here


@pytest.fixture
def served(world: Ledger) -> Champions:
    made = Champions([version().use_case])
    made.refresh()
    return made


def later(served: Champions, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next refresh is one of the seldom ones."""
    monkeypatch.setattr(served, "_next_look", 0.0)
    served.refresh()


def test_a_version_is_loaded_once_while_the_ledger_stays(world: Ledger, served: Champions) -> None:
    for _ in range(5):
        served.refresh()
    assert world.loads == [1]
    assert served.version("energy").number == 1
    assert served.state() == {"energy": ServingState(1, 1, None)}


def test_who_is_woken_looks_at_once(world: Ledger, served: Champions, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(champions, "POLL", 600.0)
    watching = threading.Thread(target=served.watch)
    watching.start()
    world.promote(2)
    served.wake()
    deadline = time.monotonic() + 60
    while served.version("energy").number != 2:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    served.end()
    watching.join(timeout=30)
    assert not watching.is_alive()


def test_use_cases_come_and_go(world: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    declared = []
    served = Champions((), lambda: declared)
    served.refresh()
    assert (served.names, served.are_ready()) == ([], True)
    declared.append(version().use_case)
    served.refresh()
    assert served.names == [], "it is not looked for at each refresh"
    later(served, monkeypatch)
    assert served.version("energy").number == 1
    later(served, monkeypatch)
    assert world.loads == [1], "what stays is not loaded again"
    declared.clear()
    later(served, monkeypatch)
    assert served.names == []
    with pytest.raises(UnknownVersion):
        served.version("energy")


def test_a_promotion_is_served_after_the_next_refresh(world: Ledger, served: Champions) -> None:
    world.promote(2)
    served.refresh()
    assert served.version("energy").number == 2
    world.commits += 1  # A rejection: the champion stays.
    served.refresh()
    assert world.loads == [1, 2]


def test_what_cannot_be_loaded_leaves_the_old_version_serving(
    world: Ledger, served: Champions, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    world.failing = {2}
    world.promote(2)
    with caplog.at_level(logging.INFO):
        served.refresh()
        served.refresh()
    assert served.version("energy").number == 1
    assert served.state() == {"energy": ServingState(1, 2, "ChangedArtifact")}
    assert "energy: v2 could not be loaded; v1 goes on serving" in caplog.text
    assert world.loads == [1, 2], "it is not tried again at once"
    world.failing = set()
    later(served, monkeypatch)
    assert served.state() == {"energy": ServingState(2, 2, None)}


def test_what_failed_is_tried_again_soon_then_less_often(
    world: Ledger, served: Champions, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = time.monotonic()
    monkeypatch.setattr(champions.time, "monotonic", lambda: clock)
    monkeypatch.setattr(served, "_next_look", clock + 1e6)
    world.failing = {2}
    world.promote(2)
    tried = []
    for second in range(9):
        before = len(world.loads)
        served.refresh()
        tried += [second] if len(world.loads) > before else []
        clock += 1
    assert tried == [0, 1, 3, 7]


def test_a_rollback_to_what_serves_ends_the_problem(world: Ledger, served: Champions) -> None:
    world.failing = {2}
    world.promote(2)
    served.refresh()
    world.promote(1)
    served.refresh()
    assert served.state() == {"energy": ServingState(1, 1, None)}
    assert world.loads == [1, 2]


def test_without_a_ledger_what_is_loaded_goes_on_serving(world: Ledger, served: Champions) -> None:
    world.is_away = True
    world.promote(2)
    served.refresh()
    assert served.state() == {"energy": ServingState(1, 1, "ServiceUnavailable")}
    assert served.version("energy").number == 1
    world.is_away = False
    served.refresh()
    assert served.state() == {"energy": ServingState(2, 2, None)}


def test_changed_feature_definitions_load_the_version_again(
    world: Ledger, served: Champions, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.definitions = "b"
    served.refresh()
    assert world.loads == [1]
    later(served, monkeypatch)
    assert world.loads == [1, 1]
    assert served.version("energy").definitions == "b"


def test_before_the_first_champion_it_waits_for_one(world: Ledger) -> None:
    world.number = None
    served = Champions([version().use_case])
    served.refresh()
    assert served.state() == {"energy": ServingState(None, None, None)}
    with pytest.raises(UnknownVersion, match="no champion in production yet"):
        served.version("energy")
    world.promote(1)
    served.refresh()
    assert served.version("energy").number == 1


def test_watching_survives_any_error(served: Champions, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def fail() -> None:
        calls.append(1)
        if len(calls) == 3:
            served.end()
        raise RuntimeError("unexpected")

    monkeypatch.setattr(champions, "POLL", 0)
    monkeypatch.setattr(served, "refresh", fail)
    served.watch()
    assert len(calls) == 3


def test_a_found_use_case_without_a_champion_does_not_keep_others_from_their_callers(
    world: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = version().use_case.model_copy(update={"name": "new"})
    monkeypatch.setattr(ledger, "champion", lambda use_case: entry(1) if use_case.name == "energy" else None)
    monkeypatch.setattr(ledger, "entries", lambda use_case: [])
    served = Champions((), lambda: [new])
    served.refresh()
    assert not served.are_ready(), "nobody can be answered"
    served = Champions((), lambda: [version().use_case, new])
    assert not served.are_ready(), "the ledger was not read"
    served.refresh()
    assert served.are_ready()
    named = Champions([version().use_case, new])
    named.refresh()
    assert not named.are_ready()
