"""Records what each task of a run used, when it has ended: Airflow calls this in the task's own process.

Each task leaves its numbers with itself (XCom). The last one of a run, or one that ends it, writes those of all tasks
before it to the lake: one commit for a run, or for each of its last tasks. What is recorded already is not appended
again. An attempt that is killed leaves nothing.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from perennial import dag_names, discovery
from perennial.settings import settings

if TYPE_CHECKING:
    from airflow.sdk import Context

log = logging.getLogger(__name__)
#: Under which a task leaves its own.
_KEY = "cost"


def after_success(context: Context) -> None:
    """Leave what the task used; write those of the run if nothing follows."""
    _ended(context, "success", is_over=False)


def after_skip(context: Context) -> None:
    """The same, of a task that skips what follows."""
    _ended(context, "skipped")


def after_failure(context: Context) -> None:
    """The same, of a task after which nothing follows."""
    _ended(context, "failed")


def before_retry(context: Context) -> None:
    """The same, of an attempt whose numbers Airflow forgets when it starts the next one."""
    _ended(context, "up_for_retry")


#: For a DAG's `default_args`.
CALLBACKS = {
    "on_success_callback": after_success,
    "on_skipped_callback": after_skip,
    "on_failure_callback": after_failure,
    "on_retry_callback": before_retry,
}


def _ended(context: Context, state: str, *, is_over: bool = True) -> None:
    try:
        _record(context, state, is_over=is_over)
    except Exception:  # What a task cost never makes it fail, nor hides what it says.
        log.warning("What this task used is not recorded.", exc_info=True)


def _record(context: Context, state: str, *, is_over: bool) -> None:
    from perennial.telemetry import costs, measuring

    ti: Any = context["ti"]
    run = context["dag_run"]
    pipeline = ti.dag_id.partition(".")[2]
    attempt = costs.Attempt(
        pipeline=pipeline,
        task=ti.task_id,
        run=f"{run.dag_id}/{run.run_id}",
        map_index=-1 if ti.map_index is None else ti.map_index,
        number=ti.try_number,
        state=state,
        of_partition=run.partition_key,
    )
    own = costs.row(attempt, measuring.of_this_process(), datetime.now(UTC))
    ti.xcom_push(key=_KEY, value=own)
    if is_over or not ti.task.downstream_task_ids:
        before = sorted(ti.task.get_flat_relative_ids(upstream=True))
        earlier = ti.xcom_pull(task_ids=before, key=_KEY) if before else []
        rows = [*(each for each in earlier if each is not None), own]
        use_case = discovery.load(dag_names.use_case_name(ti.dag_id))
        costs.record(use_case, rows)
        if pipeline == dag_names.TRAINING:
            costs.log_to_mlflow(use_case, attempt.run, rows, settings().prices)
