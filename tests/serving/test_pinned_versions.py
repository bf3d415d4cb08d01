"""Versions asked for by number: few are kept, and each is loaded once."""

from __future__ import annotations

from dataclasses import replace

import pytest
from served import entry, version

from perennial import PredictionInterval
from perennial.errors import ServiceUnavailable, UnknownVersion, VersionNotServed
from perennial.feature_store import repository
from perennial.lake_cache import catalog
from perennial.registry import ledger, mlflow_records, tracking
from perennial.serving import loaded_version, pinned_versions
from perennial.serving.pinned_versions import PinnedVersions

ENERGY = version().use_case


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[ledger.Entry]:
    """The entries by which versions were loaded; the ledger knows v1 to v3."""
    seen: list[ledger.Entry] = []

    def load(use_case: object, named: ledger.Entry, definitions: str) -> loaded_version.LoadedVersion:
        seen.append(named)
        return version(named.model_version, definitions=definitions)

    monkeypatch.setattr(loaded_version, "load", load)
    monkeypatch.setattr(repository, "applied_digest", lambda: "a", raising=False)
    monkeypatch.setattr(ledger, "entries", lambda use_case: [entry(number) for number in (1, 2, 3, 2)])
    monkeypatch.setattr(tracking, "run_of", lambda use_case, number: f"run {number}")
    return seen


def test_a_version_is_loaded_once(loads: list[ledger.Entry]) -> None:
    pinned = PinnedVersions()
    assert pinned.get("energy", 2) is None
    assert pinned.load(ENERGY, 2) is pinned.load(ENERGY, 2) is pinned.get("energy", 2)
    assert [each.model_version for each in loads] == [2]


def test_its_intervals_have_the_margin_that_the_ledger_names_now(
    loads: list[ledger.Entry], monkeypatch: pytest.MonkeyPatch
) -> None:
    bounded = ENERGY.model_copy(update={"interval": PredictionInterval()})
    plain = loaded_version.load
    monkeypatch.setattr(loaded_version, "load", lambda *named: replace(plain(*named), use_case=bounded))
    pinned, kept, reads = PinnedVersions(), {"coverage": 0.9, "rows": 100}, []

    def entries(_: object) -> list[ledger.Entry]:
        reads.append(places[-1])
        return [replace(entry(2), evidence={"prediction_interval": kept | {"margin": float(len(places))}})]

    places = ["first"]
    monkeypatch.setattr(ledger, "entries", entries)
    monkeypatch.setattr(catalog, "locations", lambda tables: dict.fromkeys(tables, places[-1]))
    assert pinned.load(bounded, 2).margin.margin == 1.0
    # Only where it has changed is the ledger read again.
    before = len(reads)
    assert pinned.load(bounded, 2) is pinned.get("energy", 2)
    assert len(reads) == before
    places.append("second")
    assert pinned.load(bounded, 2).margin.margin == 2.0
    assert pinned.get("energy", 2).margin.margin == 2.0

    def down(_: object) -> dict[str, str]:
        raise ServiceUnavailable("PostgreSQL does not answer.")

    monkeypatch.setattr(catalog, "locations", down)
    assert pinned.load(bounded, 2).margin.margin == 2.0


def test_the_one_asked_for_longest_ago_makes_room(loads: list[ledger.Entry], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pinned_versions, "MOST", 2)
    pinned = PinnedVersions()
    for number in (1, 2, 1, 3):
        pinned.load(ENERGY, number)
    assert [number for number in (1, 2, 3) if pinned.get("energy", number)] == [1, 3]


def test_other_feature_definitions_load_it_again(loads: list[ledger.Entry], monkeypatch: pytest.MonkeyPatch) -> None:
    pinned = PinnedVersions()
    pinned.load(ENERGY, 1)
    monkeypatch.setattr(repository, "applied_digest", lambda: "b", raising=False)
    assert pinned.load(ENERGY, 1).definitions == "b"
    assert len(loads) == 2


def test_one_that_nobody_decided_on_is_the_registrys(loads: list[ledger.Entry]) -> None:
    assert PinnedVersions().load(ENERGY, 9).number == 9
    assert (loads[0].model_run, loads[0].event_id) == ("run 9", "pinned:9")


def test_one_that_does_not_exist_is_not_served(loads: list[ledger.Entry], monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(use_case: object, number: int) -> str:
        raise UnknownVersion(
            f"There is no version {number} in http://mlflow.internal.", "PERENNIAL_MLFLOW_URI is wrong."
        )

    monkeypatch.setattr(tracking, "run_of", unknown)
    monkeypatch.setattr(mlflow_records.patient, "versions", lambda model: [1, 2, 3])
    with pytest.raises(VersionNotServed) as raised:
        PinnedVersions().load(ENERGY, 9)
    assert (raised.value.problem, raised.value.fix) == ("Model 'energy' has no version 9.", "It has 1, 2, 3.")
