"""The clock -> what live requests tell about a challenger -> its next stage, promotion or rejection.

Only for use cases that declare a `rollout`. Each run looks at the rollout under way: in shadow and as a canary alike,
champion and challenger predict the same requests, and the gate's rules compare them once labels are known. A stage that
has lasted long enough and has enough evidence ends; a rollout that does harm ends at once. Skipped when nothing
changes, with the reason. A person ends a rollout, or a stage, by a run with the action `abort` or `advance`. Emits an
event of the asset `champion` on a promotion. A failed run is completed by clearing its task.
"""

from airflow.sdk import DAG, dag, task

from perennial import UseCase
from perennial import orchestration as po
from perennial.dag_names import ROLLOUT
from perennial.gate.rollout_request import RolloutRequest


@task(multiple_outputs=False)
def advance() -> dict:
    """Assess the rollout under way and record its next stage or its end; skipped when nothing changes."""
    from perennial.gate import rollout

    request = po.request_about_rollout()
    step = rollout.advance(*request, made_by=po.run_reference(), actor=po.triggering_user())
    if not step.changed:
        po.skip(step.reason)
    return step.model_dump(mode="json")


@task
def emit_promotion(step: dict) -> None:
    """Emit the event of a promotion; skipped when the challenger was not promoted."""
    if not step["promoted"]:
        po.skip(step["reason"])
    po.emit_asset_event(po.champion_asset(po.use_case_of_run()), step)


def rollout_dag(use_case: UseCase, cron: str) -> DAG:
    """Make the DAG."""
    # By processing time: it goes on also where the use case's last partition is over.
    arguments = po.dag_arguments(use_case, ROLLOUT, __doc__, max_active_runs=1, end_date=None)

    @dag(schedule=po.on_cron(cron), **arguments)
    def pipeline() -> None:
        emit_promotion.override(outlets=[po.champion_asset(use_case)])(advance())

    made = pipeline()
    po.add_form(made, RolloutRequest)
    return made


for use_case in po.use_cases():
    if use_case.rollout is not None:
        rollout_dag(use_case, use_case.rollout.check)
