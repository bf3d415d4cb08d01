"""What pages ask of MLflow, of a real server and of one that is away or hangs."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import mlflow
import pytest

from perennial.errors import ServiceUnavailable
from perennial.pages import mlflow_state
from perennial.registry import mlflow_tags, tracking
from perennial.settings import settings

NOBODY = "0" * 32


@pytest.fixture(scope="module")
def run(mlflow_server) -> str:
    """A run with something of everything; its id."""
    tracking.client()
    mlflow.set_experiment("energy.training")
    with mlflow.start_run() as active:
        mlflow.log_params({"alpha": 1.0})
        mlflow.log_metrics({"rows_fit": 10})
        mlflow.set_tags({mlflow_tags.WINDOW: "a..b"})
        mlflow.log_dict({"rows": 3}, "training_set.json")
        mlflow.log_text("<p>grüße", "drift.html")
    server = tracking.client()
    server.create_registered_model("energy")
    server.create_model_version("energy", f"runs:/{active.info.run_id}/model", run_id=active.info.run_id)
    return active.info.run_id


def test_a_run_is_what_was_logged(run) -> None:
    found = mlflow_state.run(run)
    assert found is not None
    assert (found.params["alpha"], found.metrics["rows_fit"], found.tags[mlflow_tags.WINDOW]) == ("1.0", 10, "a..b")
    assert found.artifact_page("a b.json") == f"{tracking.run_url(run)}/artifacts/a%20b.json"


def test_documents_are_those_that_are_there(run) -> None:
    assert mlflow_state.documents(run, ["training_set.json", "gate.json"]) == {"training_set.json": {"rows": 3}}
    assert mlflow_state.documents(NOBODY, ["training_set.json"]) == {}


def test_an_artifact_is_its_bytes(run) -> None:
    assert mlflow_state.artifact(run, "drift.html") == "<p>grüße".encode()
    assert mlflow_state.artifact(run, "none.html") is None
    assert mlflow_state.artifact(NOBODY, "drift.html") is None


@pytest.mark.parametrize("path", ["../meta.yaml", "/etc/passwd", "..%2f..%2fmeta.yaml"])
def test_no_path_leads_out_of_a_run(run, path: str) -> None:
    assert mlflow_state.artifact(run, path) is None


def test_versions_lead_to_their_runs(run) -> None:
    assert mlflow_state.versions("energy") == [1]
    assert mlflow_state.run_of("energy", 1) == run
    assert mlflow_state.run_of("energy", 2) is None
    assert mlflow_state.run_of("nothing", 1) is None
    assert mlflow_state.versions("nothing") == []


def test_what_was_deleted_is_not_there(run) -> None:
    server = tracking.client()
    server.delete_run(run)
    try:
        assert mlflow_state.run(run) is None
    finally:
        server.restore_run(run)
    assert mlflow_state.run(NOBODY) is None


def test_a_recorded_address_is_of_a_run_wherever_mlflow_stands_now(run) -> None:
    assert mlflow_state.run_named_in(tracking.run_url(run)) == run
    assert mlflow_state.run_named_in(f"https://elsewhere:1/#/experiments/2/runs/{run}") == run
    for other in (None, "", "https://elsewhere/#/experiments/2", "/runs/../../x", f"/runs/{run}0"):
        assert mlflow_state.run_named_in(other) is None
    assert mlflow_state.run_page(run) == f"{settings().mlflow_uri}/#/runs/{run}"


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
def test_where_no_server_answers_the_error_says_so(run, elsewhere, address: str) -> None:
    where = address.format(port=closed_port())
    elsewhere(where)
    for ask in (
        lambda: mlflow_state.run(run),
        lambda: mlflow_state.artifact(run, "drift.html"),
        lambda: mlflow_state.versions("energy"),
    ):
        with pytest.raises(ServiceUnavailable, match=r"MLflow (at|is at) "):
            ask()


def test_a_server_that_hangs_is_given_up_in_seconds(run, elsewhere) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        elsewhere(f"http://127.0.0.1:{silent.getsockname()[1]}")
        begun = time.monotonic()
        with pytest.raises(ServiceUnavailable):
            mlflow_state.run(run)
    assert time.monotonic() - begun < 10


@pytest.mark.parametrize(
    ("status", "content"),
    [(200, b"<html>the login page of a proxy</html>"), (200, b"[]1"), (403, b'{"error_code": "PERMISSION_DENIED"}')],
)
def test_a_server_that_answers_otherwise_is_no_mlflow(run, elsewhere, status: int, content: bytes) -> None:
    class Other(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(content)

    with HTTPServer(("127.0.0.1", 0), Other) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        elsewhere(f"http://127.0.0.1:{server.server_port}")
        with pytest.raises(ServiceUnavailable):
            mlflow_state.run(run)
        server.shutdown()
