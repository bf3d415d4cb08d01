"""The task `search` is there where a use case declares a search, between the training set and the fit."""

from __future__ import annotations

import runpy

import pytest
from machines import ROOT
from search_cases import searching_energy

from perennial import orchestration as po
from perennial.use_case import UseCase


@pytest.fixture
def made(airflow_database, monkeypatch):
    """The training DAG of a use case."""

    def make(use_case: UseCase):
        dags = []
        monkeypatch.setattr(po, "add_form", lambda dag, params: dags.append(dag))
        module = runpy.run_path(str(ROOT / "dags/training.py"))
        dags.clear()
        module["training_dag"](use_case)
        return dags[0]

    return make


def test_the_search_stands_before_the_fit(made) -> None:
    search = made(searching_energy()).get_task("search")
    assert search.upstream_task_ids == {"plan", "build_training_set"}
    assert search.downstream_task_ids == {"fit"}


def test_without_a_search_there_is_no_such_task(made) -> None:
    dag = made(searching_energy().model_copy(update={"search": None}))
    assert "search" not in dag.task_ids
    assert dag.get_task("fit").upstream_task_ids == {"plan", "build_training_set"}
