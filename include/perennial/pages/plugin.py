"""Hands Perennial's links and pages to Airflow, and the names by which it may be asked.

Airflow finds it by its entry point. Every process of Airflow executes this file when it starts: what it needs is
imported when somebody asks for a link or a page.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.plugins_manager import AirflowPlugin
from airflow.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from airflow.sdk.types import TaskInstanceKey


class Evidence(BaseOperatorLink):
    """From a task to its evidence; a task that left none shows a button without an address.

    A task that returns a dictionary leaves each of its values under its own key: the address is the one called
    `report`. `ingest` and `compute` return that of the validation by Great Expectations, `monitor` and `evaluate`
    that of their run in MLflow.
    """

    name = "Evidence"
    xcom_key = "report"

    def get_link(self, operator: Any, *, ti_key: TaskInstanceKey) -> str:
        """The address; empty when there is none. Called by the API server only: it reads the metadata database."""
        from airflow.serialization.definitions.operatorlink import XComOperatorLink

        return XComOperatorLink(self.name, self.xcom_key).get_link(operator, ti_key=ti_key)  # type: ignore[arg-type]


async def pages(scope: Any, receive: Any, send: Any) -> None:
    """Perennial's pages, as an ASGI application; imported by the API server at the first request.

    They get Airflow's application with it, to call its REST API in the person's name.
    """
    from perennial.pages.airflow_rest import AIRFLOW
    from perennial.pages.app import app

    await app({**scope, AIRFLOW: scope.get("app")}, receive, send)


def for_allowed_hosts(app: Any) -> Any:
    """Airflow's application, which answers requests for its own names only; imported by the API server when it starts.

    Args:
        app: The application.
    """
    from perennial.pages import hosts

    return hosts.for_allowed_hosts(app)


def recording_acts(app: Any) -> Any:
    """Airflow's application, which records what people do; imported by the API server when it starts.

    Args:
        app: The application.
    """
    from perennial.pages import audit

    return audit.recording_acts(app)


class PerennialPlugin(AirflowPlugin):
    """What Airflow loads."""

    name = "perennial"
    fastapi_root_middlewares = [  # noqa: RUF012 - likewise
        {"middleware": recording_acts, "name": "Audit log"},
        {"middleware": for_allowed_hosts, "name": "Allowed hosts"},
    ]
    fastapi_apps = [{"app": pages, "url_prefix": "/perennial", "name": "Perennial"}]  # noqa: RUF012 - likewise
    # Addresses without a leading slash begin where Airflow's UI does, also below a path of a proxy.
    external_views = [  # noqa: RUF012 - likewise
        {
            "name": "Perennial",
            "href": "perennial/",
            "destination": "nav",
            "url_route": "perennial",
            "icon": "perennial/static/perennial.svg",
            "nav_top_level": True,
        },
        *(
            {
                "name": "Perennial",
                "href": f"perennial/of?{query}",
                "destination": destination,
                "url_route": f"perennial_{destination}",
                "icon": "perennial/static/perennial.svg",
            }
            for destination, query in {
                "dag": "dag={DAG_ID}",
                "dag_run": "dag={DAG_ID}&run={RUN_ID}",
                "task_instance": "dag={DAG_ID}&run={RUN_ID}&task={TASK_ID}",
            }.items()
        ),
    ]
    global_operator_extra_links = [Evidence()]  # noqa: RUF012 - Airflow's own attribute
