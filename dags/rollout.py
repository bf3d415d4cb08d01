"""The clock -> what live requests tell about a challenger -> its next stage, promotion or rejection.

On a schedule only where the use case declares a `rollout`. Each run looks at the rollout under way: in shadow and as a
canary alike, champion and challenger predict the same requests, and the gate's rules compare them once labels are
known. A stage that has lasted long enough and has enough evidence ends; a rollout that does harm ends at once. Skipped
when nothing changes, with the reason. A person ends a rollout, or a stage, by a run with the action `abort` or
`advance`; with `begin` they put any version in shadow to look at it, which decides nothing, and ends with `abort` or by
itself. Emits an event of the asset `champion` on a promotion. A failed run is completed by clearing its task.
"""

from airflow.sdk import DAG, dag, task

from perennial import UseCase
from perennial import orchestration as po
from perennial.dag_names import ROLLOUT
from perennial.gate.rollout_request import RolloutRequest


@task(multiple_outputs=False)
def advance() -> dict:
    """Record the next stage of the rollout under way or its end, or a version in shadow; skipped if nothing changes."""
    from perennial.gate import rollout

    with po.noting_refusal():
        request = po.request_about_rollout()
        step = rollout.advance(*request, made_by=po.run_reference(), actor=po.triggering_user())
    if not step.changed:
        po.skip(step.reason)
    return step.model_dump(mode="json")


@task
def emit_promotion(step: dict) -> None:
    """Emit the event of a promotion; skipped when the challenger was not promoted."""
    po.emit_promotion(step["promoted"], step)


def rollout_dag(use_case: UseCase, cron: str | None) -> DAG:
    """Make the DAG."""
    # By processing time: it goes on also where the use case's last partition is over. Never paused: one call of a
    # person has to be enough.
    arguments = po.dag_arguments(
        use_case, ROLLOUT, __doc__, max_active_runs=1, end_date=None, is_paused_upon_creation=False
    )

    @dag(schedule=po.on_cron(cron) if cron is not None else None, **arguments)
    def pipeline() -> None:
        emit_promotion.override(outlets=[po.champion_asset(use_case)])(advance())

    made = pipeline()
    po.add_form(made, RolloutRequest)
    return made


for use_case in po.use_cases():
    rollout_dag(use_case, use_case.rollout.check if use_case.rollout is not None else None)
