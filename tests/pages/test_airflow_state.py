"""What Airflow's database says of pipelines: of runs made over its REST API, which end as its scheduler ends them."""

from __future__ import annotations

from collections.abc import Callable

import airflow_world
import pytest

from perennial.dag_names import REFUSED
from perennial.pages import airflow_state

Ran = Callable[..., None]


@pytest.fixture
def ran(http, access) -> Ran:
    """Let a run of a pipeline of energy have ended on a partition; the later, the newer."""
    from airflow.models.dagrun import DagRun
    from sqlalchemy import update

    airflow_world.register_dags()
    airflow_world.forget_runs()

    def run(name: str, pipeline: str, partition: str | None, state: str) -> None:
        body = {"dag_run_id": name, "logical_date": None, "partition_key": partition, "conf": {}}
        response = http.post(f"/api/v2/dags/energy.{pipeline}/dagRuns", headers=access, json=body)
        assert response.status_code == 200, response.text
        with airflow_world.session() as opened:
            opened.execute(update(DagRun).where(DagRun.run_id == name).values(state=state))

    return run


def failed(pipeline: str) -> list[str]:
    return [run.id for run in airflow_state.pipelines(["energy"])["energy"][pipeline].failed]


def test_a_failed_partition_stays_when_another_one_succeeds(ran: Ran) -> None:
    ran("a", "features", "2024-01-01", "failed")
    ran("b", "features", "2024-01-02", "failed")
    ran("c", "features", "2024-01-03", "success")
    assert failed("features") == ["a", "b"]
    assert failed("scoring") == []


@pytest.mark.parametrize("state", ["success", "running", "queued"])
def test_what_runs_again_is_no_longer_failed(ran: Ran, state: str) -> None:
    ran("a", "monitoring", "2024-01-01", "failed")
    ran("b", "monitoring", "2024-01-01", state)
    assert failed("monitoring") == []


def test_of_trainings_the_newest_counts_whatever_its_partition(ran: Ran) -> None:
    ran("a", "training", "2024-01-01", "failed")
    ran("b", "training", None, "failed")
    assert failed("training") == ["b"]
    ran("c", "training", "2024-01-02", "success")
    assert failed("training") == []


def test_a_refused_request_is_no_failure_and_hides_none(ran: Ran) -> None:
    ran("a", "rollout", None, "failed")
    ran("b", "rollout", None, "failed")
    airflow_world.leave("energy.rollout", "b", "advance", "nothing to abort", key=REFUSED)
    assert failed("rollout") == ["a"]
    ran("c", "rollout", None, "success")
    ran("d", "rollout", None, "failed")
    airflow_world.leave("energy.rollout", "d", "advance", "nothing to abort", key=REFUSED)
    assert failed("rollout") == []
    assert airflow_state.pipelines(["energy"])["energy"]["rollout"].state == "success"
