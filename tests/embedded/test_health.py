"""Whether a server works: by what it shows after a moment, not by the process that exists."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from web_server import Answer, Server, serving

from perennial.embedded import health
from perennial.settings import settings

NOW = time.time()


def state(heartbeat: float | None, database: str = "healthy", component: str = "healthy") -> dict[str, Any]:
    """What Airflow's health says; the same of each component."""
    told = datetime.fromtimestamp(heartbeat, UTC).isoformat() if heartbeat is not None else None
    components = {
        name: {"status": component, f"latest_{name}_heartbeat": told}
        for name in ("scheduler", "triggerer", "dag_processor")
    }
    return {"metadatabase": {"status": database}, **components}


@pytest.fixture
def airflow(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """An API server of which a test says what it answers."""
    with serving() as server:
        monkeypatch.setenv("PERENNIAL_AIRFLOW_URI", server.address)
        settings.cache_clear()
        server.serves("/execution/health", Answer(b"{}"))
        yield server
    monkeypatch.undo()
    settings.cache_clear()


def says(server: Server, content: dict[str, Any]) -> None:
    server.serves("/api/v2/monitor/health", Answer(json.dumps(content).encode()))


@pytest.mark.parametrize("name", ["triggerer", "dag-processor"])
@pytest.mark.parametrize(
    ("shown", "works"),
    [
        (state(NOW + 1), True),
        (state(NOW - 1), False),
        (state(None), False),
        (state(NOW + 1, database="unhealthy"), False),
        (state(NOW + 1, component="unhealthy"), False),
    ],
    ids=["newer", "older", "none", "no database", "unhealthy"],
)
def test_a_component_works_by_a_heartbeat_after_the_moment(
    airflow: Server, name: str, shown: dict[str, Any], works: bool
) -> None:
    says(airflow, shown)
    assert health.is_healthy(name, NOW) is works


def test_a_scheduler_without_workers_does_not_work_yet(airflow: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    says(airflow, state(NOW + 1))
    monkeypatch.setattr(health, "_has_imported", lambda name: False)
    assert not health.is_healthy("scheduler", NOW)
    monkeypatch.setattr(health, "_has_imported", lambda name: True)
    assert health.is_healthy("scheduler", NOW)


def test_an_api_server_works_once_tasks_are_answered_too(airflow: Server) -> None:
    says(airflow, state(None))
    assert health.is_healthy("api-server", NOW)
    airflow.serves("/execution/health", Answer(status=503))
    assert not health.is_healthy("api-server", NOW)


def test_what_is_healthy_late_or_never_or_ends_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = {"scheduler": 0, "triggerer": 0, "mlflow": 0}

    def healthy(name: str, since: float) -> bool:
        looks[name] += 1
        return name == "mlflow" or (name == "triggerer" and looks[name] > 2)

    monkeypatch.setattr(health, "is_healthy", healthy)
    monkeypatch.setattr(health, "is_running", lambda name: looks["scheduler"] < 5)
    monkeypatch.setattr(health.time, "sleep", lambda seconds: None)
    assert health.not_working(["scheduler", "triggerer", "mlflow"], NOW) == ["scheduler"]
    assert looks == {"scheduler": 5, "triggerer": 3, "mlflow": 1}
    monkeypatch.setattr(health, "is_running", lambda name: True)
    monkeypatch.setattr(health, "_PATIENCE", 0.0)
    assert health.not_working(["scheduler"], NOW) == ["scheduler"]
    assert health.not_working([], NOW) == []
