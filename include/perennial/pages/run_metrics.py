"""What the metrics say about runs, read from Airflow's metadata database in eight queries, however many use cases."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import case, func, select
from sqlalchemy.exc import SQLAlchemyError

from perennial.dag_names import AHEAD, ALL, LOOP, REFRESH, SCHEDULE, dag_id
from perennial.pages import airflow_state
from perennial.pages._compat import DagRun, create_session
from perennial.pages.airflow_state import Pipeline
from perennial.telemetry.use_case_metrics import Activity, PipelineRuns

log = logging.getLogger(__name__)
_KINDS = (*ALL, SCHEDULE, REFRESH, AHEAD)
_ENDED = ("success", "failed")
_ACTIVE = ("queued", "running")
#: Of a DAG: when its oldest active run was queued; begin and end of its newest run that ended; end of its last success.
_Times = tuple[datetime | None, datetime | None, datetime | None, datetime | None]


def of_use_cases(names: Sequence[str]) -> dict[str, Activity] | None:
    """What Airflow is doing for each use case.

    Pipelines that not every use case has are left out where Airflow does not know them.

    Args:
        names: The use cases.

    Returns:
        None if Airflow's database cannot be read.
    """
    try:
        pipelines, approvals = airflow_state.pipelines(names, _KINDS), airflow_state.approvals(names)
        times = _times([dag_id(name, kind) for name in names for kind in _KINDS])
    except SQLAlchemyError as error:
        log.warning("Airflow's database cannot be read, so that metrics say nothing about runs: %s", error)
        return None
    return {
        name: Activity(
            {
                kind: _runs(pipeline, times)
                for kind, pipeline in pipelines[name].items()
                if pipeline.known or kind in LOOP
            },
            len(approvals.get(name, ())),
        )
        for name in names
    }


def _runs(pipeline: Pipeline, times: dict[str, _Times]) -> PipelineRuns:
    oldest, started, ended, succeeded = times.get(pipeline.dag, (None, None, None, None))
    return PipelineRuns(
        is_known=pipeline.known,
        is_paused=pipeline.paused,
        active=pipeline.active,
        oldest_active=oldest,
        failed=len(pipeline.failed),
        started=started,
        ended=ended,
        succeeded=succeeded,
    )


def _times(dags: Sequence[str]) -> dict[str, _Times]:
    with create_session() as session:
        newest = session.execute(
            select(
                DagRun.dag_id,
                func.min(case((DagRun.state.in_(_ACTIVE), DagRun.queued_at))),
                func.max(case((DagRun.state.in_(_ENDED), DagRun.id))),
                func.max(case((DagRun.state == "success", DagRun.id))),
            )
            .where(DagRun.dag_id.in_(dags))
            .group_by(DagRun.dag_id)
        ).all()
        wanted = {run for _, _, *runs in newest for run in runs if run is not None}
        rows = session.execute(select(DagRun.id, DagRun.start_date, DagRun.end_date).where(DagRun.id.in_(wanted)))
        moments = {run: (started, ended) for run, started, ended in rows}
    return {
        dag: (oldest, *moments.get(ended, (None, None)), moments.get(succeeded, (None, None))[1])
        for dag, oldest, ended, succeeded in newest
    }
