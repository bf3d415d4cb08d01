"""Whether each embedded server works now: it answered, or sent a heartbeat, later than a given moment.

That its process exists is not enough. A scheduler that has lost its database waits for its running tasks before it
ends: for a minute and more there is a process that starts nothing.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from datetime import datetime
from functools import cache

import httpx
import psutil

from perennial.embedded import processes
from perennial.embedded.status import WORKERS_END_AFTER, is_running
from perennial.services import listeners
from perennial.services.credentials import login
from perennial.settings import settings

#: How long a server that was running already may take to show that it works, in seconds. A heartbeat comes every 5 s.
_PATIENCE = 20.0


def is_healthy(name: str, since: float) -> bool:
    """Whether a server works.

    Args:
        name: `mlflow`, `serving`, or one of `status.AIRFLOW_COMPONENTS`.
        since: An earlier heartbeat does not count; in seconds since the epoch. What a server answers is of now.
    """
    if name == "serving":
        answer = _get(f"{settings().serving_uri}/health")
        return answer is not None and answer.status_code == 200
    return _mlflow_works() if name == "mlflow" else _airflow_works(name, since)


def not_working(names: Collection[str], since: float) -> list[str]:
    """Those of the running servers that show no sign of work within 20 seconds, or end meanwhile.

    Args:
        names: The servers to look at.
        since: See `is_healthy`.
    """
    waiting = list(names)
    deadline = time.monotonic() + _PATIENCE
    while waiting and all(map(is_running, waiting)) and time.monotonic() < deadline:
        waiting = [name for name in waiting if not is_healthy(name, since)]
        if waiting:
            time.sleep(0.3)
    return waiting


def _mlflow_works() -> bool:
    """Whether MLflow and its database answer; a refused login is an answer."""
    access, uri = login(), settings().mlflow_uri
    listeners.check_ours(uri)
    if _get(f"{uri}/health") is None:
        return False
    answer = _get(
        f"{uri}/api/2.0/mlflow/experiments/get", params={"experiment_id": "0"}, auth=(access.user, access.password)
    )
    return answer is not None and answer.status_code < 500


def _airflow_works(name: str, since: float) -> bool:
    uri = settings().airflow_uri
    health = _get(f"{uri}/api/v2/monitor/health")
    if health is None or health.status_code != 200:
        return False
    state = health.json()
    if state["metadatabase"]["status"] != "healthy":
        return False
    if name == "api-server":
        # The API that tasks use takes seconds to answer its first request, longer than a task would wait.
        tasks = _get(f"{uri}/execution/health")
        return tasks is not None and tasks.status_code == 200
    key = name.replace("-", "_")
    if name == "scheduler" and not _has_imported(name):
        return False  # Its first heartbeat comes before it imports the libraries; tasks start after that.
    heartbeat = state[key].get(f"latest_{key}_heartbeat")
    is_recent = heartbeat is not None and datetime.fromisoformat(heartbeat).timestamp() >= since
    return state[key]["status"] == "healthy" and is_recent


def _has_imported(name: str) -> bool:
    """Whether it has workers, or has run for so long that those may have ended because there was nothing to do."""
    record = processes.Record.read(name)
    leader = record.process() if record else None
    try:
        if leader is None:
            return False
        return bool(leader.children()) or time.time() - leader.create_time() >= WORKERS_END_AFTER
    except psutil.NoSuchProcess:
        return False


@cache
def _http() -> httpx.Client:
    return httpx.Client(timeout=5)


def _get(url: str, **request: object) -> httpx.Response | None:
    """The response; None if there is none."""
    try:
        return _http().get(url, **request)  # type: ignore[arg-type]
    except httpx.HTTPError:
        return None
