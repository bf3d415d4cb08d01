"""Drift and performance of a partition -> verdict -> maybe a request for retraining.

Runs when a partition is scored. `monitor` holds the partition against the champion's own training profile and, where
labels have matured, against what the gate promised. `revisit` judges earlier partitions again whose labels came late or
were corrected. On an alarm `request_retraining` publishes the asset `retraining`, which starts training; a cool-down
and a key per partition and reason keep alarms from becoming a storm.
"""

from airflow.sdk import dag, task

from perennial import UseCase
from perennial import orchestration as po


@task(multiple_outputs=False)
def monitor() -> dict:
    """Compute drift and performance, keep the Evidently report in MLflow, append the verdict to the lake."""
    from perennial.monitoring import monitor as monitoring

    return monitoring.monitor(*po.here()).model_dump(mode="json")


@task
def request_retraining(verdict: dict) -> None:
    """Ask for retraining if the verdict says so; skipped if it does not, or if it was asked for lately."""
    from perennial.monitoring import monitor as monitoring

    use_case, partition = po.here()
    asked = monitoring.request_retraining(use_case, partition, monitoring.Verdict(**verdict), po.run_name())
    if not asked:
        po.skip("No retraining is asked for.")
    po.announce(po.retraining_asset(use_case), verdict)


@task
def revisit() -> None:
    """Judge earlier partitions again whose labels are others now; skipped if none asks for retraining by that."""
    from perennial.monitoring import revisions

    use_case, partition = po.here()
    verdict = revisions.revisit_and_request(use_case, partition, po.run_name())
    if verdict is None:
        po.skip("No revised verdict asks for retraining.")
    po.announce(po.retraining_asset(use_case), verdict.model_dump(mode="json"))


def monitoring(use_case: UseCase) -> None:
    @dag(schedule=po.by_asset(po.predictions_asset(use_case)), **po.pipeline(use_case, "monitoring", __doc__))
    def pipeline() -> None:
        retraining = [po.retraining_asset(use_case)]
        verdict = monitor()
        request_retraining.override(outlets=retraining)(verdict)
        verdict >> revisit.override(outlets=retraining)()

    pipeline()


for use_case in po.use_cases():
    monitoring(use_case)
