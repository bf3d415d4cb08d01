"""What the DAG files share: assets, timetables and arguments of their DAGs, and the context of a running task.

- `dag_definition`, `assets`, `timetables`, `forms`, `approval`: the parts a DAG is made of;
- `task_context`: what a task asks and tells Airflow;
- `notifiers`, `mail`, `chat`: alerts to people;
- `connections`: Airflow's connections; `executor`, `celery`: executors with the heavy libraries already imported.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from perennial._common.lazy_imports import attributes_of

if TYPE_CHECKING:
    from perennial.orchestration.approval import APPROVAL_MACROS, approval_task, needs_approval
    from perennial.orchestration.assets import champion_asset, features_asset, predictions_asset, retraining_asset
    from perennial.orchestration.dag_definition import (
        alerts_arguments,
        alerts_interval,
        check_use_cases,
        dag_arguments,
        use_cases,
    )
    from perennial.orchestration.forms import add_form
    from perennial.orchestration.notifiers import deliver_alerts
    from perennial.orchestration.task_context import (
        approval_response,
        emit_asset_event,
        emit_promotion,
        moment_of_run,
        noting_refusal,
        params_of_run,
        partition_key,
        partition_of_run,
        request_about_rollout,
        rollback_request,
        run_reference,
        skip,
        triggering_user,
        use_case_of_run,
    )
    from perennial.orchestration.timetables import on_asset, on_cron, on_interval, on_partition_end

__all__ = [
    "APPROVAL_MACROS",
    "add_form",
    "alerts_arguments",
    "alerts_interval",
    "approval_response",
    "approval_task",
    "champion_asset",
    "check_use_cases",
    "dag_arguments",
    "deliver_alerts",
    "emit_asset_event",
    "emit_promotion",
    "features_asset",
    "moment_of_run",
    "needs_approval",
    "noting_refusal",
    "on_asset",
    "on_cron",
    "on_interval",
    "on_partition_end",
    "params_of_run",
    "partition_key",
    "partition_of_run",
    "predictions_asset",
    "request_about_rollout",
    "retraining_asset",
    "rollback_request",
    "run_reference",
    "skip",
    "triggering_user",
    "use_case_of_run",
    "use_cases",
]

__getattr__ = attributes_of(
    __name__,
    {
        ".approval": ("APPROVAL_MACROS", "approval_task", "needs_approval"),
        ".assets": ("champion_asset", "features_asset", "predictions_asset", "retraining_asset"),
        ".dag_definition": (
            "alerts_arguments",
            "alerts_interval",
            "check_use_cases",
            "dag_arguments",
            "use_cases",
        ),
        ".forms": ("add_form",),
        ".notifiers": ("deliver_alerts",),
        ".task_context": (
            "approval_response",
            "emit_asset_event",
            "emit_promotion",
            "moment_of_run",
            "noting_refusal",
            "params_of_run",
            "partition_key",
            "partition_of_run",
            "request_about_rollout",
            "rollback_request",
            "run_reference",
            "skip",
            "triggering_user",
            "use_case_of_run",
        ),
        ".timetables": ("on_asset", "on_cron", "on_interval", "on_partition_end"),
    },
)
