"""An Airflow of a few runs, for tests of what follows them: each look at a run shows its next state."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from perennial.services.airflow_records import DagRun, TaskInstance

NOW = datetime.now(UTC)


class FakeAirflow:
    """What `AirflowClient` is to the code under test.

    Attributes:
        states: DAG -> the states that the looks at its run show, the last one for good.
        tasks: DAG -> its tasks and their states.
        unhealthy: How many of the next health checks find no scheduler.
    """

    uri = "http://airflow"
    tell: Callable[[str], None] | None = None
    lost = 0.0

    def __init__(self, states: dict[str, Sequence[str]], ended: datetime = NOW + timedelta(days=1)) -> None:
        self.states = {dag: list(shown) for dag, shown in states.items()}
        self.tasks: dict[str, dict[str, str]] = {}
        self.unhealthy = 0
        self.triggered: list[str] = []
        self.cleared: list[str] = []
        self._ended = ended

    def run(self, dag: str, run_id: str) -> DagRun:
        shown = self.states[dag]
        state = shown.pop(0) if len(shown) > 1 else shown[0]
        return DagRun(dag, run_id, state, "2013-01", None, NOW, self._ended, {})

    def runs_of_partition(self, partition: str, *, prefix: str = "") -> list[DagRun]:
        return [self.run(dag, "asset") for dag in list(self.states) if self.states[dag]]

    def trigger(self, dag: str, run_id: str, **_: Any) -> DagRun:
        self.triggered.append(run_id)
        self.states[dag] = ["running", "success"]
        return self.run(dag, run_id)

    def clear(self, run: DagRun) -> DagRun:
        self.cleared.append(run.dag)
        self.states[run.dag] = ["success"]
        return replace(run, state="queued")

    def dags(self, prefix: str = "") -> dict[str, bool]:
        return {f"flights.{name}": False for name in ("features", "scoring", "monitoring", "training")}

    def task_instances(self, run: DagRun) -> list[TaskInstance]:
        return [TaskInstance(task, state, 1, -1) for task, state in self.tasks.get(run.dag, {}).items()]

    def log_tail(self, run: DagRun, task: TaskInstance) -> list[str]:
        return ["ValueError: no such column"]

    def run_url(self, run: DagRun) -> str:
        return f"{self.uri}/dags/{run.dag}/runs/{run.id}"

    def health(self) -> dict[str, Any]:
        self.unhealthy -= 1
        state = "unhealthy" if self.unhealthy >= 0 else "healthy"
        return {"metadatabase": {"status": "healthy"}, "scheduler": {"status": state}}
