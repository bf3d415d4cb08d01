"""Hands Perennial's links to Airflow, and nothing else.

Every process of Airflow executes this file when it starts: what it needs is imported when a link is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.plugins_manager import AirflowPlugin
from airflow.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from airflow.sdk.types import TaskInstanceKey


class Evidence(BaseOperatorLink):
    """From a task to its evidence in MLflow; a task that left none shows a button without an address.

    A task that returns a dictionary leaves each of its values under its own key: the address is the one called
    `report`, which `monitor` and `judge` return.
    """

    name = "Evidence in MLflow"
    xcom_key = "report"

    def get_link(self, operator: Any, *, ti_key: TaskInstanceKey) -> str:
        """The address; empty when there is none. Called by the API server only: it reads the metadata database."""
        from airflow.serialization.definitions.operatorlink import XComOperatorLink

        return XComOperatorLink(self.name, self.xcom_key).get_link(operator, ti_key=ti_key)  # type: ignore[arg-type]


class PerennialPlugin(AirflowPlugin):
    """What Airflow loads."""

    name = "perennial"
    global_operator_extra_links = [Evidence()]  # noqa: RUF012 - Airflow's own attribute
