"""What the tests of acts and links need in Airflow's database: DAGs, runs, and a question that waits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastapi.testclient import TestClient

_DAGS = Path(__file__).parents[2] / "dags"


def login(http: TestClient, user: str, password: str) -> dict[str, str]:
    """The headers of a user."""
    response = http.post("/auth/token", json={"username": user, "password": password})
    return {"Authorization": f"Bearer {response.json()['access_token']}"}


def register_dags() -> None:
    """Let Airflow know all DAGs, as its DAG processor does."""
    from airflow.dag_processing.bundles.manager import DagBundlesManager
    from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db

    DagBundlesManager().sync_bundles_to_db()
    sync_bag_to_db(DagBag(str(_DAGS)), "dags-folder", None)


@contextmanager
def session() -> Iterator[Any]:
    from airflow.utils.session import create_session

    with create_session() as opened:
        yield opened


def forget_runs() -> None:
    """Empty Airflow's memory of what ran, and of what was asked."""
    from airflow.models.dagrun import DagRun
    from airflow.models.hitl import HITLDetail
    from airflow.models.taskinstance import TaskInstance
    from sqlalchemy import delete

    with session() as opened:
        for kind in (HITLDetail, TaskInstance, DagRun):
            opened.execute(delete(kind))


def task_instance(opened: Any, dag: str, run: str, task: str) -> Any:
    from airflow.models.taskinstance import TaskInstance
    from sqlalchemy import select

    condition = (TaskInstance.dag_id == dag, TaskInstance.run_id == run, TaskInstance.task_id == task)
    return opened.scalars(select(TaskInstance).where(*condition)).one()


def ask(dag: str, run: str) -> None:
    """The run's task `approve` asks and waits, as after `HITLOperator.execute`."""
    from airflow.models.hitl import HITLDetail

    with session() as opened:
        instance = task_instance(opened, dag, run, "approve")
        instance.state = "awaiting_input"
        opened.add(
            HITLDetail(
                ti_id=instance.id,
                options=["Approve", "Reject"],
                subject="Promote a new champion of energy?",
                body="**promote.** better\n\n| rule | value |\n|---|---|\n| holdout rows | 96 |\n\n<script>no</script>",
                defaults=["Reject"],
                multiple=False,
                params={"reason": {"value": None, "description": None, "schema": {}}},
            )
        )


def leave(dag: str, run: str, task: str, value: Any, key: str = "return_value") -> None:
    """The return value of a task, or what it left under another key, as it stands after its run."""
    from airflow.models.xcom import XComModel

    with session() as opened:
        XComModel.set(key=key, value=value, dag_id=dag, task_id=task, run_id=run, session=opened)
