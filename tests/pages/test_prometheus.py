"""The whole way: a real Prometheus scrapes Airflow's API server, a rule fires, and Alertmanager calls a webhook."""

from __future__ import annotations

import json
import queue
import subprocess
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import airflow_world
import httpx
import pytest
import yaml
from live_server import listening
from machines import free_port

from perennial.serving import tokens
from perennial.settings import settings
from perennial.telemetry import export, scraping

pytestmark = pytest.mark.services
#: Seconds until an alert has been delivered, at most.
_PATIENCE = 120


@pytest.fixture
def webhook() -> Iterator[tuple[str, queue.Queue[dict[str, Any]]]]:
    """Its address, and the notifications that it gets."""
    received: queue.Queue[dict[str, Any]] = queue.Queue()

    class Webhook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.put(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Webhook)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/", received
    server.shutdown()
    server.server_close()


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Any]:
    """Starts a program that is ended after the test; its output is in a file of its name."""
    started = []

    def run(program: str, *arguments: str) -> None:
        with (tmp_path / f"{program}.log").open("wb") as log:
            started.append(subprocess.Popen([program, *arguments], cwd=tmp_path, stdout=log, stderr=subprocess.STDOUT))

    yield run
    for each in started:
        each.terminate()
    for each in started:
        each.wait(timeout=30)


def fail_a_run(http: Any, access: dict[str, str]) -> None:
    from airflow.models.dagrun import DagRun
    from sqlalchemy import update

    airflow_world.register_dags()
    airflow_world.forget_runs()
    body = {"dag_run_id": "failed", "logical_date": None, "partition_key": "2024-01-01", "conf": {}}
    http.post("/api/v2/dags/energy.scoring/dagRuns", headers=access, json=body).raise_for_status()
    now = datetime.now(UTC)
    with airflow_world.session() as opened:
        values = {"state": "failed", "start_date": now, "end_date": now}
        opened.execute(update(DagRun).where(DagRun.run_id == "failed").values(**values))


@pytest.mark.timeout(300)
def test_a_failed_run_reaches_a_webhook(http, access, webhook, running, tmp_path, monkeypatch) -> None:
    fail_a_run(http, access)
    address, received = webhook
    alertmanager, prometheus = free_port(), free_port()
    with listening(http.app) as port:
        where = settings().model_copy(update={"airflow_uri": f"http://127.0.0.1:{port}", "serving_uri": "none"})
        monkeypatch.setattr(export, "settings", lambda: where)
        export.write(tmp_path, f"127.0.0.1:{alertmanager}")
        (tmp_path / scraping.TOKEN).write_text(tokens.create("scraping", only_metrics=True)[0] + "\n")
        quicken(tmp_path / export.CONFIGURATION)
        write_routes(tmp_path / "alertmanager.yml", address)
        running(
            "prometheus-alertmanager",
            "--config.file=alertmanager.yml",
            "--storage.path=alerts",
            f"--web.listen-address=127.0.0.1:{alertmanager}",
            "--cluster.listen-address=",
        )
        running(
            "prometheus",
            f"--config.file={export.CONFIGURATION}",
            "--storage.tsdb.path=series",
            f"--web.listen-address=127.0.0.1:{prometheus}",
        )
        alert = first_of("PerennialRunFailed", received)
        (target,) = httpx.get(f"http://127.0.0.1:{prometheus}/api/v1/targets").json()["data"]["activeTargets"]
    assert (target["health"], target["lastError"]) == ("up", "")
    assert alert["status"] == "firing"
    labels = {"use_case": "energy", "pipeline": "scoring", "severity": "critical"}
    assert labels.items() <= alert["labels"].items()
    assert alert["labels"]["owner"]
    assert alert["annotations"]["summary"] == "energy: 1 runs of scoring failed"
    assert alert["annotations"]["page"].endswith("/perennial/use_cases/energy")


def quicken(file: Path) -> None:
    """Let Prometheus look often, and wait for a server on a busy machine: all else is as it was written."""
    content = yaml.safe_load(file.read_text())
    content["global"] = {"scrape_interval": "5s", "evaluation_interval": "1s"}
    for job in content["scrape_configs"]:
        job["scrape_timeout"] = "5s"
    file.write_text(yaml.safe_dump(content))


def write_routes(file: Path, address: str) -> None:
    waiting = {"group_wait": "0s", "group_interval": "1s"}
    receiver = {"name": "team", "webhook_configs": [{"url": address}]}
    file.write_text(yaml.safe_dump({"route": {"receiver": "team", **waiting}, "receivers": [receiver]}))


def first_of(name: str, received: queue.Queue[dict[str, Any]]) -> dict[str, Any]:
    """The first alert of a name that is delivered; others are delivered beside it."""
    while True:
        for alert in received.get(timeout=_PATIENCE)["alerts"]:
            if alert["labels"]["alertname"] == name:
                return alert
