"""The route by which the gate asks whether a server can load a version."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from served import Loaded, entry, version
from starlette.testclient import TestClient

from perennial.errors import ChangedArtifact, ServiceUnavailable, VersionNotServed
from perennial.feature_store import repository
from perennial.serving import loaded_version, pinned_versions, tokens
from perennial.serving.access import AccessControl
from perennial.serving.application import application
from perennial.serving.champions import Champions

CHECK = "/v1/use_cases/energy/versions/2/check"
EXAMPLE = pd.DataFrame({"hour_sin": [0.0, 1.0]})


def serving(monkeypatch: pytest.MonkeyPatch, outcome: object, champions: Champions | None = None) -> TestClient:
    """A server that v1 serves, and what loading another version does; its caller may choose versions."""

    def load(use_case: object, named: object, definitions: str) -> loaded_version.LoadedVersion:
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    monkeypatch.setattr(loaded_version, "load", load)
    monkeypatch.setattr(pinned_versions, "entry_of", lambda use_case, number: entry(number))
    monkeypatch.setattr(repository, "applied_digest", lambda: "a", raising=False)
    made = TestClient(application(champions or Loaded(version(1)), AccessControl()), raise_server_exceptions=False)
    made.headers["Authorization"] = f"Bearer {tokens.create('gate', may_pin=True)[0]}"
    return made


def test_a_version_that_loads_predicts_its_example(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = serving(monkeypatch, replace(version(2), example=EXAMPLE)).post(CHECK)
    expected = {"use_case": "energy", "model_version": 2, "predictions": [2.0, 2.0], "problem": None, "classes": []}
    assert (answer.status_code, answer.json()) == (200, expected)


def test_before_the_first_champion_too(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nothing_yet = Champions([version().use_case])
    answer = serving(monkeypatch, replace(version(2), example=EXAMPLE), nothing_yet).post(CHECK)
    assert answer.json()["predictions"] == [2.0, 2.0]


def broken(frame: pd.DataFrame) -> np.ndarray:
    raise ZeroDivisionError("no")


@pytest.mark.parametrize(
    ("outcome", "says"),
    [
        (ChangedArtifact("Its files were changed.", ""), "Its files were changed."),
        (ImportError("no module"), "ImportError: no module"),
        (replace(version(2, predict=broken), example=EXAMPLE), "ZeroDivisionError: no"),
        (version(2), "It was stored without an example of its inputs."),
    ],
)
def test_what_cannot_serve_is_said(folder: Path, monkeypatch: pytest.MonkeyPatch, outcome: object, says: str) -> None:
    answer = serving(monkeypatch, outcome).post(CHECK)
    assert (answer.status_code, answer.json()["problem"], answer.json()["predictions"]) == (200, says, [])


@pytest.mark.parametrize(
    ("outcome", "status"), [(ServiceUnavailable("MLflow is away.", ""), 503), (VersionNotServed("No v2.", ""), 404)]
)
def test_what_says_nothing_about_the_version_is_an_error(
    folder: Path, monkeypatch: pytest.MonkeyPatch, outcome: Exception, status: int
) -> None:
    assert serving(monkeypatch, outcome).post(CHECK).status_code == status


def test_only_who_may_choose_versions_may_ask(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = serving(monkeypatch, replace(version(2), example=EXAMPLE))
    plain = {"Authorization": f"Bearer {tokens.create('plain')[0]}"}
    assert server.post(CHECK, headers=plain).status_code == 403
    assert server.post(CHECK, headers={"Authorization": ""}).status_code == 401
    assert server.post(CHECK.replace("energy", "other")).status_code == 404
