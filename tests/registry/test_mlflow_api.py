"""How MLflow is asked, of servers that are away, hang, refuse, or are something else."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest
from tenacity import wait_none

from perennial.errors import ServiceUnavailable
from perennial.registry import mlflow_api, mlflow_records
from perennial.settings import settings

RUN = "0" * 32


@contextmanager
def answering(*answers: tuple[int, bytes]) -> Iterator[tuple[str, list[str | None]]]:
    """A server that gives these answers (status, content) in turn; its address, and how each request signed in."""
    requests: list[str | None] = []

    class Other(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, content = answers[min(len(requests), len(answers) - 1)]
            requests.append(self.headers.get("Authorization"))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(content)

    with HTTPServer(("127.0.0.1", 0), Other) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", requests
        server.shutdown()


@pytest.fixture
def elsewhere(monkeypatch) -> Iterator[Callable[[str], None]]:
    """MLflow is said to be at another address."""

    def at(address: str) -> None:
        monkeypatch.setenv("PERENNIAL_MLFLOW_URI", address)
        settings.cache_clear()

    yield at
    monkeypatch.undo()
    settings.cache_clear()


def closed_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.mark.parametrize("address", ["http://127.0.0.1:{port}", "sqlite:///mlflow.db", "http://"])
def test_where_no_server_answers_the_error_says_so(elsewhere, address: str) -> None:
    where = address.format(port=closed_port())
    elsewhere(where)
    for ask in (
        lambda: mlflow_records.quick.run(RUN),
        lambda: mlflow_records.quick.artifact(RUN, "drift.html"),
        lambda: mlflow_records.quick.versions("energy"),
    ):
        with pytest.raises(ServiceUnavailable, match=r"MLflow (at|is at) "):
            ask()


def test_a_server_that_hangs_is_given_up_in_seconds(elsewhere) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        elsewhere(f"http://127.0.0.1:{silent.getsockname()[1]}")
        begun = time.monotonic()
        with pytest.raises(ServiceUnavailable):
            mlflow_records.quick.run(RUN)
    assert time.monotonic() - begun < 10


@pytest.mark.parametrize(
    ("status", "content"),
    [(200, b"<html>the login page of a proxy</html>"), (200, b"[]1"), (403, b'{"error_code": "PERMISSION_DENIED"}')],
)
def test_a_server_that_answers_otherwise_is_no_mlflow(elsewhere, status: int, content: bytes) -> None:
    with answering((status, content)) as (address, _):
        elsewhere(address)
        with pytest.raises(ServiceUnavailable):
            mlflow_records.quick.run(RUN)


def test_a_task_asks_again_and_a_page_does_not(elsewhere, monkeypatch) -> None:
    monkeypatch.setattr(mlflow_api, "wait_random_exponential", lambda **_: wait_none())
    busy, response = (503, b""), (200, b'{"model_versions": [{"version": "2"}]}')
    with answering(busy, busy, response) as (address, requests):
        elsewhere(address)
        assert mlflow_records.patient.versions("energy") == [2]
        assert len(requests) == 3
    with answering(busy, response) as (address, requests):
        elsewhere(address)
        with pytest.raises(ServiceUnavailable, match="it answered 503"):
            mlflow_records.quick.versions("energy")
        assert len(requests) == 1


def test_a_refused_login_names_the_variables_to_set(elsewhere) -> None:
    with answering((401, b"")) as (address, requests):
        elsewhere(address)
        with pytest.raises(ServiceUnavailable, match=r"refuses the login \(401\)(.|\n)*MLFLOW_TRACKING_USERNAME"):
            mlflow_records.patient.versions("energy")
        assert len(requests) == 1


@pytest.mark.parametrize(
    ("environment", "header"),
    [
        ({"MLFLOW_TRACKING_TOKEN": "t"}, "Bearer t"),
        ({"MLFLOW_TRACKING_USERNAME": "u", "MLFLOW_TRACKING_PASSWORD": "p"}, "Basic dTpw"),
        ({}, None),
    ],
)
def test_calls_sign_in_as_the_environment_says(elsewhere, monkeypatch, environment, header) -> None:
    for name in ("MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    with answering((200, b"{}")) as (address, requests):
        elsewhere(address)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        mlflow_records.quick.versions("energy")
    assert requests == [header]
