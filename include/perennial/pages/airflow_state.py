"""What Airflow is doing for the use cases now, read from its metadata database: only Airflow's API server may."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

from sqlalchemy import func, select

from perennial.dag_names import ALL, AWAITING_INPUT, FIT, ON_DEMAND, REFIT, REFUSED, TRAINING, dag_id
from perennial.pages._compat import DagModel, DagRun, DagRunNote, HITLDetail, TaskInstance, XComModel, create_session


@dataclass(frozen=True)
class AirflowRun:
    """One DAG run; times are UTC.

    Attributes:
        by: Who triggered it; None: an event or the clock did.
        note: The note on it; if it was started on a page of Perennial, the reason.
    """

    dag: str
    id: str
    state: str
    partition: str | None
    queued: datetime | None
    started: datetime | None
    ended: datetime | None
    by: str | None = None
    note: str | None = None

    @property
    def pipeline(self) -> str:
        """The pipeline that it is a run of."""
        return self.dag.rpartition(".")[2]

    @property
    def path(self) -> str:
        """Its page, below Airflow's own address."""
        return f"/dags/{quote(self.dag)}/runs/{quote(self.id, safe='')}"


@dataclass(frozen=True)
class Pipeline:
    """One pipeline of a use case.

    Attributes:
        known: Airflow has read its DAG.
        paused: It starts no runs, and those asked for wait.
        latest: The newest run; one that refused what a person asked for is none here, nor in `failed`.
        failed: The failed runs that no newer run replaced, oldest first: one a partition at most where the pipeline
            runs by partition, else the newest run at most.
        active: Runs that are queued or running.
        next: When the schedule starts the next one; None: an event or a person does.
    """

    name: str
    dag: str
    known: bool = False
    paused: bool = False
    latest: AirflowRun | None = None
    active: int = 0
    next: datetime | None = None
    failed: tuple[AirflowRun, ...] = ()

    @property
    def state(self) -> str:
        """`running`, `failed`, `success`, `paused`, `never`: has not run yet, or `missing`: unknown to Airflow."""
        if not self.known:
            return "missing"
        if self.active:
            return "running"
        if self.paused:
            return "paused"
        return self.latest.state if self.latest else "never"

    @property
    def path(self) -> str:
        """Its page, below Airflow's own address."""
        return f"/dags/{quote(self.dag)}"


@dataclass(frozen=True)
class Approval:
    """A request for a person's approval: may a new version be promoted?

    Attributes:
        run: The training run that asks.
        body: The gate's evidence, as Markdown.
        requested_at: When it was made; processing time, UTC.
    """

    run: AirflowRun
    task: str
    map_index: int
    subject: str
    body: str
    requested_at: datetime

    @property
    def path(self) -> str:
        """Its page, below Airflow's own address."""
        return f"{self.run.path}/tasks/{self.task}/required_actions"


@dataclass(frozen=True)
class Answer:
    """The response to an `Approval`.

    Attributes:
        chosen: `Approve` or `Reject`.
        by: Who; None: nobody answered in time.
        at: When; processing time, UTC.
    """

    chosen: str
    by: str | None
    at: datetime


def pipelines(names: Sequence[str], kinds: Sequence[str] = ALL) -> dict[str, dict[str, Pipeline]]:
    """The pipelines of each use case, by name, in the order of `kinds`. Five queries, however many use cases.

    Args:
        names: The use cases.
        kinds: Which pipelines.
    """
    dags = [f"{name}.{pipeline}" for name in names for pipeline in kinds]
    left = select(XComModel.key).where(XComModel.dag_run_id == DagRun.id, XComModel.key == REFUSED)
    # A refusal is told to who asked, leaves all as it was, and does not hide what failed before.
    refused = left.correlate(DagRun).exists() & (DagRun.state == "failed")
    with create_session() as session:
        parsed = {
            dag: (paused, following)
            for dag, paused, following in session.execute(
                select(DagModel.dag_id, DagModel.is_paused, DagModel.next_dagrun_create_after).where(
                    DagModel.dag_id.in_(dags), ~DagModel.is_stale
                )
            )
        }
        newest = select(func.max(DagRun.id)).where(DagRun.dag_id.in_(dags), ~refused).group_by(DagRun.dag_id)
        latest = {run.dag: run for run in _runs(session, DagRun.id.in_(newest))}
        # Of all runs on one partition the newest counts: the success of another partition fixes nothing there.
        newest_of_each = (
            select(func.max(DagRun.id))
            .where(DagRun.dag_id.in_(dags), ~refused)
            .group_by(DagRun.dag_id, DagRun.partition_key)
        )
        failed: dict[str, list[AirflowRun]] = {}
        for run in _runs(session, DagRun.state == "failed", DagRun.id.in_(newest_of_each)):
            if run.pipeline not in ON_DEMAND or run == latest[run.dag]:
                failed.setdefault(run.dag, []).append(run)
        active = {
            row.dag_id: row.many
            for row in session.execute(
                select(DagRun.dag_id, func.count().label("many"))
                .where(DagRun.dag_id.in_(dags), DagRun.state.in_(("queued", "running")))
                .group_by(DagRun.dag_id)
            )
        }
    return {
        name: {
            pipeline: Pipeline(
                pipeline,
                dag := f"{name}.{pipeline}",
                dag in parsed,
                bool(parsed.get(dag, (False, None))[0]),
                latest.get(dag),
                active.get(dag, 0),
                parsed.get(dag, (False, None))[1],
                tuple(failed.get(dag, ())),
            )
            for pipeline in kinds
        }
        for name in names
    }


def runs(name: str, partition: str) -> list[AirflowRun]:
    """All runs of a use case's pipelines on one partition, newest first.

    Args:
        name: The use case.
        partition: The name of the partition.
    """
    dags = [f"{name}.{pipeline}" for pipeline in ALL]
    with create_session() as session:
        return _runs(session, DagRun.dag_id.in_(dags), DagRun.partition_key == partition)[::-1]


def run(dag: str, run_id: str) -> AirflowRun | None:
    """One run; None if there is none.

    Args:
        dag: The DAG.
        run_id: The id of its run.
    """
    with create_session() as session:
        return next(iter(_runs(session, DagRun.dag_id == dag, DagRun.run_id == run_id)), None)


def approvals(names: Iterable[str]) -> dict[str, list[Approval]]:
    """The open requests for approval by use case, oldest first; use cases without one are left out."""
    dags = [dag_id(name, TRAINING) for name in names]
    by_use_case: dict[str, list[Approval]] = {}
    with create_session() as session:
        waiting = session.execute(
            select(HITLDetail, TaskInstance)
            .join(TaskInstance, TaskInstance.id == HITLDetail.ti_id)
            .where(
                TaskInstance.dag_id.in_(dags),
                HITLDetail.responded_at.is_(None),
                TaskInstance.state == AWAITING_INPUT,
            )
            .order_by(HITLDetail.created_at)
        ).all()
        for detail, task in waiting:
            (asking,) = _runs(session, DagRun.dag_id == task.dag_id, DagRun.run_id == task.run_id)
            approval = Approval(
                asking, task.task_id, task.map_index, detail.subject, detail.body or "", detail.created_at
            )
            by_use_case.setdefault(task.dag_id.rpartition(".")[0], []).append(approval)
    return by_use_case


def answer(dag: str, run_id: str) -> Answer | None:
    """The response to the newest request of a run; None: no response yet, or no request.

    Args:
        dag: The DAG.
        run_id: The id of its run.
    """
    with create_session() as session:
        detail = session.scalar(
            select(HITLDetail)
            .join(TaskInstance, TaskInstance.id == HITLDetail.ti_id)
            .where(TaskInstance.dag_id == dag, TaskInstance.run_id == run_id, HITLDetail.responded_at.is_not(None))
            .order_by(HITLDetail.responded_at.desc())
            .limit(1)
        )
        if detail is None:
            return None
        chosen = ", ".join(detail.chosen_options or ())
        return Answer(chosen, (detail.responded_by or {}).get("name"), detail.responded_at)


def version(dag: str, run_id: str) -> int | None:
    """The model version that a training run registered; None: none, or not yet.

    Args:
        dag: The DAG.
        run_id: The id of its run.
    """
    with create_session() as session:
        left = XComModel.get_many(key="return_value", task_ids=FIT, dag_ids=dag, run_id=run_id, limit=1)
        row = session.scalars(left).first()
        value = XComModel.deserialize_value(row) if row is not None else None
    return value if isinstance(value, int) else None


def decision(dag: str, run_id: str) -> dict[str, Any] | None:
    """The gate's decision in a training run, as its task `refit` returned it; None: none, or not yet.

    Args:
        dag: The DAG.
        run_id: The id of its run.
    """
    with create_session() as session:
        left = XComModel.get_many(key="return_value", task_ids=REFIT, dag_ids=dag, run_id=run_id, limit=1)
        row = session.scalars(left).first()
        value = XComModel.deserialize_value(row) if row is not None else None
    return value if isinstance(value, dict) else None


def _runs(session, *conditions) -> list[AirflowRun]:  # type: ignore[no-untyped-def]
    """The runs that meet the conditions, oldest first."""
    columns = (
        DagRun.dag_id,
        DagRun.run_id,
        DagRun.state,
        DagRun.partition_key,
        DagRun.queued_at,
        DagRun.start_date,
        DagRun.end_date,
        DagRun.triggering_user_name,
        DagRunNote.content,
    )
    query = select(*columns).outerjoin(DagRunNote, DagRunNote.dag_run_id == DagRun.id).where(*conditions)
    return [AirflowRun(*row) for row in session.execute(query.order_by(DagRun.id))]
