"""What the pages use of Airflow beyond its public API: its access control, and its metadata database.

Pages import these names from here only. `tests/pages/test_compat.py` tells when one of them changed.

Access control: the pages are a FastAPI application that a plugin adds to Airflow's API server. A plugin may do so
publicly, but Airflow has no public way to ask there who is logged in and what that person may do.

- `GetUserDep`, `get_user` and `BaseUser`: who is logged in, by the cookie or token of Airflow's own pages.
- `requires_access_dag`: the check, with its 403, that Airflow's own routes make.
- `get_auth_manager`, `DagDetails` and `DagAccessEntity`: the same decision without an error, to leave out what a person
  may not read or do.
- `COOKIE_NAME_JWT_TOKEN`: the cookie that holds a browser's token, which the prediction server is shown.
- `DagModel.get_dag_id_to_team_name_mapping`: the team of a DAG, by which an auth manager decides.

They can go when Airflow documents dependencies for the FastAPI applications of plugins: use those.

Metadata database: `create_session`, and the models `DagModel`, `DagRun`, `DagRunNote`, `HITLDetail`, `TaskInstance` and
`XComModel`. The public way is Airflow's REST API. It returns runs page by page, and cannot select the newest run of
each pipeline or partition; it needs the person's token, and the server would call itself. The fleet page reads these
runs in a few queries, however many use cases there are.

They can go when the REST API returns the newest run by DAG and partition, and code in the API server can call it
without a token: use that in `airflow_state.py`.
"""

from __future__ import annotations

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.base_auth_manager import COOKIE_NAME_JWT_TOKEN
from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
from airflow.api_fastapi.core_api.security import GetUserDep, get_user, requires_access_dag
from airflow.models.dag import DagModel
from airflow.models.dagrun import DagRun, DagRunNote
from airflow.models.hitl import HITLDetail
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from airflow.utils.session import create_session

__all__ = [
    "COOKIE_NAME_JWT_TOKEN",
    "BaseUser",
    "DagAccessEntity",
    "DagDetails",
    "DagModel",
    "DagRun",
    "DagRunNote",
    "GetUserDep",
    "HITLDetail",
    "TaskInstance",
    "XComModel",
    "create_session",
    "get_auth_manager",
    "get_user",
    "requires_access_dag",
]
