"""Drift and performance of a partition -> verdict -> maybe a request for retraining.

Runs when a partition is scored. `monitor` compares the partition with the champion's own training profile and, where
labels have matured, with the metric that the gate expects. `revisit` evaluates earlier partitions again whose labels
came late or were corrected. On an alarm `request_retraining` publishes the asset `retraining`, which starts training; a
cool-down and a key per partition and reason keep alarms from becoming a storm. `probation` compares a refit that was
promoted lately with the champion that it replaced, and rolls back if it is worse.
"""

from airflow.sdk import dag, task

from perennial import UseCase
from perennial import orchestration as po
from perennial.dag_names import MONITORING


@task(multiple_outputs=False)
def monitor() -> dict:
    """Compute drift and performance, keep the Evidently report in MLflow, append the verdict to the lake."""
    from perennial.monitoring import monitor as monitoring

    return monitoring.monitor(*po.partition_of_run()).model_dump(mode="json")


@task
def request_retraining(verdict: dict) -> None:
    """Request retraining if the verdict has a reason to; skipped if not, and within a cool-down."""
    from perennial.monitoring import monitor as monitoring

    use_case, partition = po.partition_of_run()
    requested = monitoring.request_retraining(use_case, partition, monitoring.Verdict(**verdict), po.run_reference())
    if not requested:
        po.skip("No retraining is requested.")
    po.emit_asset_event(po.retraining_asset(use_case), verdict)


@task
def probation() -> None:
    """Compare a refit with the champion that it replaced; skipped unless that one serves again."""
    from perennial.monitoring import probation as monitoring

    use_case, partition = po.partition_of_run()
    reviewed = monitoring.review(use_case, partition, po.run_reference())
    if reviewed.state != monitoring.FAILED:
        po.skip(reviewed.reason)
    po.emit_asset_event(po.champion_asset(use_case), reviewed.model_dump(mode="json"))


@task
def revisit() -> None:
    """Evaluate earlier partitions again whose labels changed; skipped if none of them requests retraining."""
    from perennial.monitoring import revisions

    use_case, partition = po.partition_of_run()
    verdict = revisions.revisit_and_request(use_case, partition, po.run_reference())
    if verdict is None:
        po.skip("No revised verdict requests retraining.")
    po.emit_asset_event(po.retraining_asset(use_case), verdict.model_dump(mode="json"))


def monitoring_dag(use_case: UseCase) -> None:
    """Make the DAG."""

    @dag(schedule=po.on_asset(po.predictions_asset(use_case)), **po.dag_arguments(use_case, MONITORING, __doc__))
    def pipeline() -> None:
        retraining = [po.retraining_asset(use_case)]
        verdict = monitor()
        request_retraining.override(outlets=retraining)(verdict)
        verdict >> [revisit.override(outlets=retraining)(), probation.override(outlets=[po.champion_asset(use_case)])()]

    pipeline()


for use_case in po.use_cases():
    monitoring_dag(use_case)
