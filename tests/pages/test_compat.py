"""Canaries: each fails once what the pages use of Airflow beyond its public API is no longer as expected.

`pages/_compat.py` says what each name is for, and what to use instead once Airflow offers it.
"""

from __future__ import annotations

import ast
import inspect
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from airflow.api_fastapi.auth.managers.base_auth_manager import BaseAuthManager
from sqlalchemy import select

from perennial.pages import _compat

PAGES = Path(_compat.__file__).parent

COLUMNS = {
    _compat.DagModel: "dag_id is_paused is_stale next_dagrun_create_after",
    _compat.DagRun: "id dag_id run_id state partition_key queued_at start_date end_date triggering_user_name",
    _compat.DagRunNote: "dag_run_id content",
    _compat.HITLDetail: "ti_id subject body created_at responded_at responded_by chosen_options",
    _compat.TaskInstance: "id dag_id run_id task_id map_index state",
    _compat.XComModel: "dag_run_id key",
}


@pytest.mark.parametrize(
    ("model", "column"), [(model, column) for model, names in COLUMNS.items() for column in names.split()]
)
def test_the_models_have_the_columns_that_we_read(model: Any, column: str) -> None:
    assert str(select(getattr(model, column))).startswith("SELECT ")


@pytest.mark.parametrize(
    ("function", "needed"),
    [
        (_compat.XComModel.get_many, {"key", "task_ids", "dag_ids", "run_id", "limit"}),
        (_compat.XComModel.deserialize_value, {"result"}),
        (_compat.DagModel.get_dag_id_to_team_name_mapping, {"dag_ids"}),
        (BaseAuthManager.is_authorized_dag, {"method", "access_entity", "details", "user"}),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_functions_have_the_parameters_that_we_pass(function: Callable[..., Any], needed: set[str]) -> None:
    assert needed <= set(inspect.signature(function).parameters)


def test_access_checks_take_what_we_pass_by_position() -> None:
    assert list(inspect.signature(_compat.requires_access_dag).parameters) == [
        "method",
        "access_entity",
        "param_dag_id",
    ]
    check = _compat.requires_access_dag("GET", _compat.DagAccessEntity.TASK_LOGS, "energy.features")
    assert list(inspect.signature(check).parameters) == ["request", "user"]


def test_the_auth_manager_and_sessions_need_no_arguments() -> None:
    for function in (_compat.get_auth_manager, _compat.create_session):
        inspect.signature(function).bind()
    assert hasattr(_compat.create_session(), "__enter__")


def test_dag_details_and_entities_have_what_we_name() -> None:
    details = _compat.DagDetails(id="energy.features", team_name=None)
    assert (details.id, details.team_name) == ("energy.features", None)
    assert {"RUN", "HITL_DETAIL", "TASK_LOGS"} <= set(_compat.DagAccessEntity.__members__)


def test_the_user_dependency_is_the_user_of_get_user() -> None:
    user, depends = typing.get_args(_compat.GetUserDep)
    assert user is _compat.BaseUser
    assert depends.dependency is _compat.get_user


def imported_by(node: ast.AST) -> list[str]:
    if isinstance(node, ast.ImportFrom):
        return [node.module or ""]
    return [one.name for one in node.names] if isinstance(node, ast.Import) else []


def test_only_compat_imports_what_airflow_does_not_offer() -> None:
    private = ("airflow.api_fastapi", "airflow.models", "airflow.utils")
    importing = {
        file.name
        for file in PAGES.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        for name in imported_by(node)
        if name.startswith(private)
    }
    assert importing == {"_compat.py"}
