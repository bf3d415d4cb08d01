"""How the client behaves towards a server that is away, slow to come back, or says no. The calls themselves run against
real Airflow in `end_to_end/`."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from perennial.errors import InvalidParams, PerennialError, ServiceUnavailable
from perennial.services import outage
from perennial.services.airflow_api import AirflowClient
from perennial.services.credentials import Login

RUN = {
    "dag_id": "flights.features",
    "dag_run_id": "replay__2013-01",
    "state": "queued",
    "partition_key": "2013-01",
    "queued_at": "2026-01-01T00:00:00Z",
    "start_date": None,
    "end_date": None,
    "conf": None,
}


class Server(ThreadingHTTPServer):
    """Answers with what a test has prepared, in order, and remembers what it was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: list[tuple[int, Any]] = []
        self.asked: list[tuple[str, str, Any]] = []
        self.tokens = 0

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path == "/auth/token":
            self.server.tokens += 1
            is_right = json.loads(body)["password"] == "right"
            status, content = (201, {"access_token": "t"}) if is_right else (401, {"detail": "Invalid credentials"})
        else:
            self.server.asked.append((self.command, self.path, json.loads(body) if body else None))
            status, content = self.server.answers.pop(0)
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        payload = json.dumps(content).encode()
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    do_GET = do_POST = do_PATCH = answer  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield running
    running.shutdown()
    running.server_close()


@pytest.fixture
def client(server: Server) -> Iterator[AirflowClient]:
    with AirflowClient(server.uri, Login("admin", "right"), patience=2) as made:
        yield made


def test_errors_of_the_server_are_retried(server: Server, client: AirflowClient) -> None:
    server.answers = [(503, {"detail": "starting"}), (500, {"detail": "locked"}), (200, RUN)]
    assert client.trigger("flights.features", "replay__2013-01", partition="2013-01").state == "queued"
    assert len(server.asked) == 3
    assert len({json.dumps(request) for request in server.asked}) == 1, "the same run id each time"


def test_a_run_that_is_already_there_is_returned(server: Server, client: AirflowClient) -> None:
    server.answers = [(409, {"detail": "exists"}), (200, RUN | {"state": "success"})]
    assert client.trigger("flights.features", "replay__2013-01", partition="2013-01").state == "success"


def test_an_expired_token_is_renewed(server: Server, client: AirflowClient) -> None:
    server.answers = [(200, RUN), (401, {"detail": "expired"}), (200, RUN)]
    client.run("flights.features", "replay__2013-01")
    client.run("flights.features", "replay__2013-01")
    assert server.tokens == 2


def test_refused_params_say_why(server: Server, client: AirflowClient) -> None:
    detail = "Invalid input for param seed: -1 is less than the minimum of 0\n\nFailed validating 'minimum' in schema"
    server.answers = [(400, {"detail": detail})]
    with pytest.raises(InvalidParams, match="less than the minimum of 0") as raised:
        client.trigger("flights.training", "one", conf={"seed": -1})
    assert "Failed validating" not in raised.value.problem


def test_an_unknown_dag_is_an_error_with_a_fix(server: Server, client: AirflowClient) -> None:
    server.answers = [(404, {"detail": "Dag with dag_id: 'nope' not found"})]
    with pytest.raises(PerennialError, match="nope") as raised:
        client.trigger("nope", "one")
    assert raised.value.fix


def test_a_server_that_stays_away_is_named(server: Server) -> None:
    uri = server.uri
    server.shutdown()
    server.server_close()
    with (
        AirflowClient(uri, Login("admin", "right"), patience=0.5) as client,
        pytest.raises(ServiceUnavailable, match=uri) as raised,
    ):
        client.health()
    assert "perennial up" in raised.value.fix


@pytest.mark.parametrize("away", [(500, {"detail": "no database"}), (503, {}), (401, {"detail": "another secret"})])
def test_a_server_that_answered_before_is_waited_for(
    server: Server, monkeypatch: pytest.MonkeyPatch, away: tuple[int, Any]
) -> None:
    monkeypatch.setattr(outage, "_QUIET", 0.0)
    lines: list[str] = []
    with AirflowClient(server.uri, Login("admin", "right"), patience=0, tell=lines.append) as client:
        server.answers = [(200, RUN), away, away, away, (200, RUN)]
        for _ in range(2):
            assert client.run("flights.features", "replay__2013-01").state == "queued"
        assert client.lost > 0
    assert [line.partition(" (")[0].partition(" since")[0] for line in lines] == [
        f"Airflow at {server.uri} does not answer",
        f"Airflow at {server.uri} answers again.",
    ]


def test_a_server_that_never_answered_is_not_waited_for_long() -> None:
    with (
        AirflowClient("http://127.0.0.1:9", Login("admin", "right"), patience=0, tell=lambda line: None) as client,
        pytest.raises(ServiceUnavailable, match="within 0 s"),
    ):
        client.health()


def test_a_wrong_login_is_not_retried(server: Server) -> None:
    with AirflowClient(server.uri, Login("admin", "wrong")) as client, pytest.raises(PerennialError, match="refused"):
        client.health()
    assert server.tokens == 1


def test_runs_of_a_partition_exclude_longer_names(server: Server, client: AirflowClient) -> None:
    runs = [RUN, RUN | {"partition_key": "2013-01-02"}]
    server.answers = [(200, {"dag_runs": runs, "total_entries": 2})]
    assert [run.partition for run in client.runs_of_partition("2013-01")] == ["2013-01"]


def test_a_failed_task_is_explained_by_its_exception(server: Server, client: AirflowClient) -> None:
    log = [
        {"event": "::group::Log message source details"},
        {"event": "Task failed", "error_detail": [{"exc_type": "BadBatch", "exc_value": "No rows.\n  Fix: look"}]},
        {"event": "printed after"},
    ]
    task = {"task_id": "ingest", "state": "failed", "try_number": 1, "map_index": -1}
    server.answers = [(200, RUN), (200, {"task_instances": [task]}), (200, {"content": log})]
    run = client.run("flights.features", "replay__2013-01")
    assert client.log_tail(run, client.task_instances(run)[0]) == ["BadBatch: No rows.", "  Fix: look"]
