"""The prediction server that runs is asked to load a challenger; where none answers, nothing is held against it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from live_server import listening
from machines import free_port
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from perennial import discovery
from perennial.gate import server_check
from perennial.gate.challenger import stored_model_rules
from perennial.gate.smoke import SmokeResult
from perennial.serving import tokens
from perennial.settings import settings

ENERGY = discovery.load("energy")
OURS = np.array([0.25, 0.5])
FRESH = SmokeResult(True, "2 rows", {"size_bytes": 1.0, "latency_seconds": 0.001, "rows_per_second": 1e6})


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("PERENNIAL_HOME", str(tmp_path / "home"))
    settings.cache_clear()
    tokens.prepare()
    yield tmp_path / "home"
    settings.cache_clear()


def asked(monkeypatch: pytest.MonkeyPatch, address: str) -> server_check.ServerResult:
    monkeypatch.setenv("PERENNIAL_SERVING_URI", address)
    settings.cache_clear()
    return server_check.ask(ENERGY, 3, OURS)


def answering(status: int, body: dict[str, object], seen: list[Request] | None = None) -> Starlette:
    """A server that gives one answer about v3 of energy."""

    async def check(request: Request) -> JSONResponse:
        if seen is not None:
            seen.append(request)
            secret = request.headers["authorization"].removeprefix("Bearer ")
            assert tokens.find(secret).may_pin
        return JSONResponse(body, status)

    return Starlette(routes=[Route("/v1/use_cases/energy/versions/3/check", check, methods=["POST"])])


def answered(monkeypatch: pytest.MonkeyPatch, status: int, **body: object) -> server_check.ServerResult:
    told = {"use_case": "energy", "model_version": 3, "problem": None} if status == 200 else {}
    with listening(answering(status, told | body)) as port:
        return asked(monkeypatch, f"http://127.0.0.1:{port}")


def test_a_server_that_predicts_the_same_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    result = answered(monkeypatch, 200, predictions=[0.25, 0.5])
    assert (result.is_asked, result.passed) == (True, True)
    assert result.note.startswith("2 rows, predicted the same as in this process, by http://127.0.0.1:")


@pytest.mark.parametrize("theirs", [[0.25, 0.500001], [0.25]])
def test_one_that_predicts_otherwise_fails(monkeypatch: pytest.MonkeyPatch, theirs: list[float]) -> None:
    result = answered(monkeypatch, 200, predictions=theirs)
    assert (result.is_asked, result.passed) == (True, False)
    assert "where this process predicts [0.25, 0.5]" in result.note


def test_one_that_knows_other_classes_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    result = answered(monkeypatch, 200, predictions=[0.25, 0.5], classes=["low", "high"])
    assert (result.is_asked, result.passed) == (False, False)
    assert "was started when the classes were others (low, high): restart it" in result.note


def test_one_that_cannot_load_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    result = answered(monkeypatch, 200, predictions=[], problem="ImportError: no module")
    assert (result.is_asked, result.passed, "ImportError: no module" in result.note) == (True, False, True)


@pytest.mark.parametrize("status", [401, 403, 404, 500, 503])
def test_a_refusal_says_nothing_about_the_model(monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    result = answered(monkeypatch, status, message="Not now.")
    assert not result.is_asked
    assert f"answered {status}: Not now." in result.note


def test_without_a_server_none_is_asked_and_no_token_is_made(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    result = asked(monkeypatch, f"http://127.0.0.1:{free_port()}")
    assert not result.is_asked
    assert result.note.startswith("no prediction server was asked: http://127.0.0.1:")
    assert "ConnectError" in result.note
    assert tokens.list_tokens() == []
    assert "names none" in asked(monkeypatch, "none").note


def test_a_server_that_takes_too_long_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_check, "_PATIENCE", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        result = asked(monkeypatch, f"http://127.0.0.1:{silent.getsockname()[1]}")
    assert (result.is_asked, "ReadTimeout" in result.note) == (False, True)


def test_its_token_may_choose_versions_and_is_revoked(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Request] = []
    with listening(
        answering(200, {"use_case": "energy", "model_version": 3, "problem": None, "predictions": [0.25, 0.5]}, seen)
    ) as port:
        assert asked(monkeypatch, f"http://127.0.0.1:{port}").passed
    assert (len(seen), tokens.list_tokens()) == (1, [])


def rules(server: server_check.ServerResult) -> dict[str, tuple[bool, str]]:
    return {rule.name: (rule.passed, rule.note) for rule in stored_model_rules(ENERGY, FRESH, server)}


def test_the_evidence_says_which_it_was() -> None:
    shown = rules(server_check.ServerResult(True, False, "http://s: no"))
    assert shown["smoke test in the prediction server"] == (False, "http://s: no")
    assert shown["smoke test in a fresh process"] == (True, "2 rows")
    shown = rules(server_check.ServerResult(False, False, "no prediction server was asked: it is away"))
    assert "smoke test in the prediction server" not in shown
    assert shown["smoke test in a fresh process"] == (True, "2 rows; no prediction server was asked: it is away")


def test_a_server_of_another_home_is_not_asked(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    for file in home.iterdir():
        file.unlink()
    home.rmdir()
    with listening(answering(200, {"use_case": "energy", "model_version": 3})) as port:
        result = asked(monkeypatch, f"http://127.0.0.1:{port}")
    assert not result.is_asked
    assert "PERENNIAL_SERVING_TOKEN is not set" in result.note
    assert not home.exists(), "nothing is kept where it would be gone"
