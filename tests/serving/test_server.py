"""`perennial serve` as a process: it answers as `perennial.predict` does, and follows the ledger under load."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import httpx
import pytest
from machines import free_port
from pipelines import run_features_until, train
from typed import COMMAND, PATHS

import perennial
from perennial import gate
from perennial.gate import rollout
from perennial.gate.rollout_request import RolloutRequest
from perennial.registry import ledger, tracking
from perennial.serving import tokens
from perennial.settings import settings
from perennial.use_case import UseCase

LAST = "2024-01-04"
AT = f"{LAST}T23:00:00+00:00"
METER = {"site": "site-0", "meter": "meter-0", "hour_sin": -0.25, "hour_cos": 0.96}
PREDICT = "/v1/use_cases/energy/predict"


def promote(energy: UseCase, number: int, run_id: str) -> None:
    ledger.record(
        energy,
        partition=LAST,
        action="promoted",
        model_version=number,
        previous_version=number - 1 or None,
        model_run=run_id,
        effective_from=energy.partition(LAST).end,
        actor="ada",
        reason="a test",
        evidence={},
    )


def wait_for(is_so: Callable[[], bool], server: subprocess.Popen) -> None:
    deadline = time.monotonic() + 120
    while not is_so():
        assert server.poll() is None, "the server ended"
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture(scope="module")
def trained(project: Path, mlflow_server: str, energy: UseCase) -> UseCase:
    """Four days, the first version in production, a second one trained."""
    run_features_until(energy, LAST)
    for name in ("first", "second"):
        train(energy, name)
    promote(energy, 1, tracking.run_of(energy, 1))
    return energy


@pytest.fixture(scope="module")
def environment() -> dict[str, str]:
    return os.environ | PATHS | {"PERENNIAL_SERVING_PORT": str(free_port())}


@pytest.fixture(scope="module")
def server(trained: UseCase, environment: dict[str, str], home: Path) -> Iterator[subprocess.Popen]:
    with (home / "serve.log").open("w") as log:
        process = subprocess.Popen([*COMMAND, "serve", "energy"], stdout=log, stderr=log, env=environment)
    yield process
    process.kill()
    process.wait(timeout=30)


@pytest.fixture(scope="module")
def http(server: subprocess.Popen, environment: dict[str, str]) -> Iterator[httpx.Client]:
    secret, _ = tokens.create("test", ["energy"])
    headers = {"Authorization": f"Bearer {secret}"}
    address = f"http://127.0.0.1:{environment['PERENNIAL_SERVING_PORT']}"
    with httpx.Client(base_url=address, timeout=60, headers=headers) as client:
        wait_for(lambda: is_ready(client), server)
        yield client


def is_ready(client: httpx.Client) -> bool:
    try:
        return client.get("/ready").status_code == 200
    except httpx.TransportError:
        return False


def test_it_answers_as_the_library_does(http: httpx.Client) -> None:
    asked = {"examples": [METER], "at": AT, "features": True}
    (served,) = http.post(PREDICT, json=asked).raise_for_status().json()["predictions"]
    (expected,) = perennial.predict("energy", METER, at=datetime.fromisoformat(AT), features=True).predictions
    assert served["prediction"] == expected.prediction
    assert served["features"] == expected.features
    assert served["features"]["meter_last"] is not None


def test_the_example_of_its_description_works(http: httpx.Client) -> None:
    described = http.get("/openapi.json").json()["paths"][PREDICT]["post"]
    example = described["requestBody"]["content"]["application/json"]["example"]
    (prediction,) = http.post(PREDICT, json=example).raise_for_status().json()["predictions"]
    assert set(prediction["key"]) == {"site", "meter", "read_at"}


def asked(*arguments: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, "ask", "energy", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)


def test_it_is_asked_about_the_lakes_examples(http: httpx.Client, environment: dict[str, str]) -> None:
    span = ("--from", LAST, "--to", "2024-01-05", "--limit", "40", "--json")
    done = asked(*span, environment=environment)
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert (summary["asked"], summary["by_version"], summary["failed"]) == (40, {"1": 40}, {})
    assert summary["rmse"] > 0
    assert [token.name for token in tokens.list_tokens()] == ["test"]


def test_a_version_in_shadow_is_shown_beside_the_champion(
    trained: UseCase, http: httpx.Client, environment: dict[str, str]
) -> None:
    request = RolloutRequest(action="begin", version=2, reason="a look")
    rollout.advance(trained, request, made_by="begin", actor="ada")
    try:
        span = ("--from", LAST, "--to", "2024-01-05", "--limit", "40")
        done = asked(*span, "--json", environment=environment)
        assert done.returncode == 0, done.stderr
        champion, shadow = json.loads(done.stdout)["versions"]
        shown = asked(*span, environment=environment).stdout
    finally:
        rollout.advance(trained, RolloutRequest(action="abort", reason="seen"), made_by="end", actor="ada")
    assert (champion["version"], champion["served_as"], champion["requests"]) == (1, "champion", 40)
    assert champion["latency_ms"]["p50"] > 0
    assert (shadow["version"], shadow["served_as"], shadow["requests"], shadow["failed"]) == (2, "shadow", 40, 0)
    assert shadow["latency_ms"]["p50"] is None
    assert shadow["rmse"] > 0
    assert [line.split()[:3] for line in shown.splitlines()[-2:]] == [["v1", "champion", "40"], ["v2", "shadow", "40"]]


def test_the_gate_lets_it_load_the_challenger(
    trained: UseCase, http: httpx.Client, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERENNIAL_SERVING_PORT", environment["PERENNIAL_SERVING_PORT"])
    settings.cache_clear()
    try:
        decision = gate.evaluate(trained, 2)
    finally:
        monkeypatch.undo()
        settings.cache_clear()
    (rule,) = [each for each in decision.rules if each.name == "smoke test in the prediction server"]
    assert (rule.passed, rule.value) == (True, 1), rule.note
    assert rule.note.endswith(f"by http://127.0.0.1:{environment['PERENNIAL_SERVING_PORT']}")
    assert [token.name for token in tokens.list_tokens()] == ["test"]
    assert http.get("/ready").json()["use_cases"]["energy"]["model_version"] == 1, "it goes on serving"


def test_a_token_that_the_server_refuses_is_said(http: httpx.Client, environment: dict[str, str]) -> None:
    span = ("--from", LAST, "--to", "2024-01-05", "--limit", "3")
    other, _ = tokens.create("other", ["another"])
    done = asked(*span, environment=environment | {"PERENNIAL_SERVING_TOKEN": other})
    tokens.revoke("other")
    assert done.returncode == 1
    assert "This token is not for use case" in done.stderr


def test_a_span_without_examples_is_said(http: httpx.Client, environment: dict[str, str]) -> None:
    done = asked("--from", "2023-01-01", "--to", "2023-01-02", environment=environment)
    assert done.returncode == 2
    assert "has no examples from 2023-01-01 00:00" in done.stderr
    backwards = asked("--from", "2024-01-02", "--to", "2024-01-01", environment=environment)
    assert "is not after" in backwards.stderr


def test_a_second_server_on_the_port_says_so(http: httpx.Client, environment: dict[str, str]) -> None:
    done = subprocess.run([*COMMAND, "serve", "energy"], capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 2
    assert "PERENNIAL_SERVING_PORT" in done.stderr


def test_a_promotion_is_served_without_a_failed_request(
    trained: UseCase, http: httpx.Client, server: subprocess.Popen
) -> None:
    answers: list[tuple[int, int]] = []
    ended = threading.Event()

    def ask() -> None:
        while not ended.is_set():
            answer = http.post(PREDICT, json={"examples": [METER, METER], "at": AT})
            answers.append((answer.status_code, answer.json().get("model_version", 0)))

    asking = [threading.Thread(target=ask) for _ in range(3)]
    for thread in asking:
        thread.start()
    try:
        wait_for(lambda: len(answers) > 10, server)
        promote(trained, 2, tracking.run_of(trained, 2))
        wait_for(lambda: (200, 2) in answers, server)
    finally:
        ended.set()
        for thread in asking:
            thread.join(timeout=60)
    assert set(answers) == {(200, 1), (200, 2)}


def test_the_version_before_answers_who_may_choose_it(http: httpx.Client) -> None:
    secret, _ = tokens.create("pinning", ["energy"], may_pin=True)
    asked = {"examples": [METER], "at": AT, "model_version": 1}
    answer = http.post(PREDICT, json=asked, headers={"Authorization": f"Bearer {secret}"})
    assert answer.raise_for_status().json()["model_version"] == 1
    assert http.post(PREDICT, json=asked).status_code == 403
    unknown = http.post(PREDICT, json={**asked, "model_version": 99}, headers={"Authorization": f"Bearer {secret}"})
    assert (unknown.status_code, unknown.json()["error"]) == (404, "VersionNotServed")


def test_a_version_that_does_not_load_leaves_the_old_one(
    trained: UseCase, http: httpx.Client, server: subprocess.Popen, home: Path
) -> None:
    promote(trained, 3, "gone")
    wait_for(lambda: http.get("/ready").json()["use_cases"]["energy"]["problem"] is not None, server)
    state = http.get("/ready").json()["use_cases"]["energy"]
    assert (state["model_version"], state["ledger_version"]) == (2, 3)
    assert http.post(PREDICT, json={"examples": [METER], "at": AT}).json()["model_version"] == 2
    assert "energy: v3 could not be loaded; v2 goes on serving" in (home / "serve.log").read_text()


def test_it_stops_when_it_is_told_to(http: httpx.Client, server: subprocess.Popen) -> None:
    server.send_signal(signal.SIGTERM)
    assert server.wait(timeout=60) in (0, -signal.SIGTERM)
    with pytest.raises(httpx.TransportError):
        http.get("/health")
