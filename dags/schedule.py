"""The clock -> a request for retraining, for use cases that say when (`retraining.schedule`).

Requests retraining on all data there is, whatever the monitor says, by publishing the asset `retraining`, which starts
training. Skipped within the cool-down of an earlier request, and before the first model, which the monitor requests.
"""

from airflow.sdk import dag, task

from perennial import UseCase
from perennial import orchestration as po
from perennial.dag_names import SCHEDULE


@task
def request_retraining() -> None:
    """Request retraining on all data there is; skipped within a cool-down, and before the first model."""
    from perennial.training import planning

    use_case = po.use_case_of_run()
    partition = planning.request_scheduled_retraining(use_case, po.run_reference())
    if partition is None:
        po.skip("No retraining is requested.")
    po.emit_asset_event(po.retraining_asset(use_case), {"reason": "schedule"}, partition)


def schedule_dag(use_case: UseCase, cron: str) -> None:
    """Make the DAG."""

    @dag(schedule=po.on_cron(cron), **po.dag_arguments(use_case, SCHEDULE, __doc__))
    def pipeline() -> None:
        request_retraining.override(outlets=[po.retraining_asset(use_case)])()

    pipeline()


for use_case in po.use_cases():
    if use_case.retraining.schedule:
        schedule_dag(use_case, use_case.retraining.schedule)
