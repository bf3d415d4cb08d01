"""DAG runs and tasks as Airflow's REST API describes them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self


@dataclass(frozen=True)
class DagRun:
    """One DAG run. Times are UTC."""

    dag: str
    id: str
    state: str  #: queued, running, success or failed
    partition: str | None
    queued: datetime | None
    started: datetime | None
    ended: datetime | None
    conf: dict[str, Any]
    by: str | None = None  #: Who triggered it; None: an event or the clock did.

    @property
    def is_over(self) -> bool:
        """Whether the run has ended."""
        return self.state in ("success", "failed")

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Self:
        """A run as the API describes it."""
        return cls(
            dag=fields["dag_id"],
            id=fields["dag_run_id"],
            state=fields["state"],
            partition=fields["partition_key"],
            queued=_moment(fields["queued_at"]),
            started=_moment(fields["start_date"]),
            ended=_moment(fields["end_date"]),
            conf=fields["conf"] or {},
            by=fields.get("triggering_user_name"),
        )


@dataclass(frozen=True)
class TaskInstance:
    """One task of a run. `state` is None before it is scheduled."""

    task: str
    state: str | None
    attempt: int
    map_index: int

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Self:
        """A task of a run as the API describes it."""
        return cls(fields["task_id"], fields["state"], fields["try_number"], fields["map_index"])


@dataclass(frozen=True)
class ApprovalRequest:
    """A request for a person's approval, and the response to it.

    Attributes:
        dag, run: The run that asks.
        asked_at: Processing time, UTC.
        chosen: What was chosen; empty: there is no response yet.
        by: By whom; None: nobody, in time.
    """

    dag: str
    run: str
    subject: str
    asked_at: datetime
    chosen: str = ""
    by: str | None = None

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Self:
        """A request as the API describes it."""
        task, person = fields["task_instance"], fields.get("responded_by_user") or {}
        chosen = ", ".join(fields.get("chosen_options") or ())
        asked_at = datetime.fromisoformat(fields["created_at"])
        return cls(task["dag_id"], task["dag_run_id"], fields["subject"], asked_at, chosen, person.get("name"))


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
