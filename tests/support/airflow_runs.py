"""Runs on a real Airflow, started and waited for by plain HTTP."""

from __future__ import annotations

import time
from typing import Any

import httpx

#: Far more than a run needs on a quiet machine: tests share it with others.
PATIENCE = 400.0


def trigger(http: httpx.Client, dag: str, run_id: str, partition: str | None = None, **conf: Any) -> httpx.Response:
    body = {"dag_run_id": run_id, "logical_date": None, "partition_key": partition, "conf": conf}
    return http.post(f"/dags/{dag}/dagRuns", json=body)


def wait_for(http: httpx.Client, dag: str, run_id: str) -> str:
    """Poll a run until it is over; return its state."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        state: str = http.get(f"/dags/{dag}/dagRuns/{run_id}").json()["state"]
        if state in ("success", "failed"):
            return state
        time.sleep(0.5)
    tasks = http.get(f"/dags/{dag}/dagRuns/{run_id}/taskInstances").json()["task_instances"]
    states = {task["task_id"]: (task["state"], task["try_number"]) for task in tasks}
    raise AssertionError(f"{dag} {run_id} is still {state}: {states}")


def follow(http: httpx.Client, dag: str, partition: str) -> str:
    """Wait for the run that an asset event starts for a partition; return its state."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        runs = http.get(f"/dags/{dag}/dagRuns", params={"partition_key_prefix_pattern": partition}).json()["dag_runs"]
        if runs:
            return wait_for(http, dag, runs[0]["dag_run_id"])
        time.sleep(0.5)
    raise AssertionError(f"no run of {dag} for {partition}")
