"""The page of a use case: how its model is doing, why, and what needs a person's action."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from perennial.alerts.incidents import from_rows
from perennial.dag_names import CHAMPION, dag_id
from perennial.errors import PerennialError
from perennial.pages import airflow_state, gate_comparison, heat_map, incidents, markdown, timeline
from perennial.pages.access import PERMISSIONS, AllowedActionsDep, MayAcknowledgeDep, UseCaseDep
from perennial.pages.actions import done
from perennial.pages.airflow_state import AirflowRun, Approval, Pipeline
from perennial.pages.layout import page
from perennial.registry import deployments, ledger, mlflow_records
from perennial.registry.ledger import Entry
from perennial.reporting import overview, partition_status
from perennial.reporting.partition_status import Records
from perennial.settings import settings
from perennial.telemetry import costs
from perennial.telemetry.costs import Costs
from perennial.use_case import UseCase

router = APIRouter()

#: Rows of the ledger that are shown, and of the table of partitions before the rest is folded.
LEDGER, OPEN = 200, 24


@dataclass(frozen=True)
class Activity:
    """What Airflow is doing for the use case.

    Attributes:
        pipelines: By name, in the loop's order.
        approvals: Oldest first.
        evaluated: The gate's decision on the challenger that the first of them is about, as the task returned it.
    """

    pipelines: Mapping[str, Pipeline]
    approvals: Sequence[Approval] = ()
    evaluated: Mapping[str, Any] | None = None


@router.get("/use_cases/{use_case}")
def show(
    request: Request,
    use_case: UseCaseDep,
    allowed: AllowedActionsDep,
    may_acknowledge: MayAcknowledgeDep,
    until: str | None = None,
) -> HTMLResponse:
    """The use case. `until` names the last partition to show; a form that was sent adds what it did to the address.

    Args:
        request: Tells who asks, and where Airflow is mounted.
        use_case: Which.
        allowed: What the person may do.
        may_acknowledge: Whether they may acknowledge incidents.
        until: The last partition to show.
    """
    last = use_case.partition(until).key if until else None
    prices = settings().prices
    spent = costs.of_use_cases([use_case.name], prices)[use_case.name]
    content = view(use_case, records(use_case), _activity(use_case), last) | {"costs": spent, "prices": prices}
    told = done(use_case, request.query_params)
    return page(request, "use_case", **content | {"may_acknowledge": may_acknowledge}, may=allowed, done=told)


def records(use_case: UseCase) -> Records:
    """The rows of the tables that the page needs.

    Raises:
        PerennialError: the lake's catalog cannot be reached, or a table is damaged.
    """
    (rows,) = partition_status.records([use_case], ["parity", "drift", "incidents"])
    if isinstance(rows, PerennialError):
        raise rows
    return rows


def _activity(use_case: UseCase) -> Activity:
    approvals = airflow_state.approvals([use_case.name]).get(use_case.name, [])
    return Activity(
        airflow_state.pipelines([use_case.name])[use_case.name],
        approvals,
        airflow_state.decision(approvals[0].run.dag, approvals[0].run.id) if approvals else None,
    )


def view(use_case: UseCase, rows: Records, activity: Activity, until: str | None = None) -> dict[str, Any]:
    """What the page shows.

    Args:
        use_case: Whose page it is.
        rows: Rows by table, as `records` gives them.
        activity: What Airflow is activity.
        until: The last partition to show; None: the newest.
    """
    seen = overview.of_records(use_case, rows)
    entries = ledger.from_rows(rows["ledger"])
    verdicts = sorted(rows["verdicts"], key=itemgetter("recorded_at"))
    keys = [one.partition for one in seen.status.partitions if until is None or one.partition <= until]
    within = set(keys[-timeline.SHOWN :])
    expected = overview.expected_by_partition(
        use_case, entries, [row for row in verdicts if row["partition"] in within]
    )
    every = timeline.lines(seen.status.partitions, verdicts, expected)
    window = timeline.window(every, until)
    served = deployments.periods(entries)
    return {
        "use_case": use_case,
        "seen": seen,
        "by_key": {line.key: line for line in every},
        "first_step": partition_status.first_command(use_case),
        "approvals": [(approval, markdown.html(approval.body)) for approval in activity.approvals],
        "waiting": [(line.key, line.status.waiting) for line in reversed(every) if line.status.waiting],
        "pipelines": activity.pipelines,
        "failed": [run for pipeline in activity.pipelines.values() for run in pipeline.failed],
        "window": window,
        "loaded": sum(line.status.rows is not None for line in every),
        "chart": timeline.chart(use_case, window.lines, entries, f"{use_case.name}/partitions"),
        "heat": heat_map.heat_map(use_case, rows["drift"], [line.key for line in window.lines]),
        "compared": gate_comparison.compare(use_case, entries, activity.evaluated),
        "entries": [(entry, _evidence(use_case, entry)) for entry in reversed(entries[-LEDGER:])],
        "total_entries": len(entries),
        "served": [
            (deployment, deployments.partitions_served(use_case, deployment)) for deployment in reversed(served)
        ],
        "has_another": len({deployment.version for deployment in served}) > 1,
        "permissions": PERMISSIONS,
        "open": OPEN,
        "may_acknowledge": False,
        "costs": Costs(),
        "prices": None,
        **incidents.view(from_rows(use_case.name, rows["incidents"])),
    }


def _evidence(use_case: UseCase, entry: Entry) -> dict[str, Any] | None:
    """Where the evidence of an entry is: of the gate's decision the challenger's run in MLflow, else a run in Airflow.

    `address` is whole, or begins below Airflow's own.
    """
    if entry.event_id.startswith("gate:"):
        return {"label": "MLflow run", "address": mlflow_records.run_page(entry.model_run), "in_airflow": False}
    _, _, made_by = entry.event_id.partition(":")
    dag, _, run_id = made_by.partition("/")
    if dag != dag_id(use_case.name, CHAMPION) or not run_id:
        return None
    return {
        "label": "Airflow run",
        "address": AirflowRun(dag, run_id, "", None, None, None, None).path,
        "in_airflow": True,
    }
