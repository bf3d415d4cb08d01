"""The clock -> a request for retraining, for use cases that say when (`retraining.schedule`).

Asks for retraining on all data there is, whatever the monitor says, by publishing the asset `retraining`, which starts
training. Skipped when the newest data was asked for lately, and before the first model, which the monitor asks for.
"""

from airflow.sdk import dag, task

from perennial import UseCase
from perennial import orchestration as po


@task
def ask() -> None:
    """Ask for retraining on all data there is; skipped if it was asked for lately, or before the first model."""
    from perennial.training import planning

    use_case = po.of_run()
    partition = planning.request_scheduled_retraining(use_case, po.run_name())
    if partition is None:
        po.skip("No retraining is asked for.")
    po.announce(po.retraining_asset(use_case), {"reason": "schedule"}, partition)


def schedule(use_case: UseCase, cron: str) -> None:
    @dag(schedule=po.by_schedule(cron), **po.pipeline(use_case, "schedule", __doc__))
    def pipeline() -> None:
        ask.override(outlets=[po.retraining_asset(use_case)])()

    pipeline()


for use_case in po.use_cases():
    if use_case.retraining.schedule:
        schedule(use_case, use_case.retraining.schedule)
