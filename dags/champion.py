"""Rollback: an earlier version serves again, and automatic promotion pauses until it is resumed.

Runs on demand only. `roll_back` makes the previous champion, or the version that is named, the champion again; the
ledger records who and why. That version predicts from the first partition that is not scored yet, and monitors compare
with its training profile. While promotion is paused, retraining continues, but every promotion needs a person's
approval. A run with the action `resume` ends the pause. A rollback emits an event of the asset `champion`. A failed run
has changed nothing, or is completed by clearing its task.
"""

from airflow.sdk import dag, task

from perennial import UseCase
from perennial import orchestration as po
from perennial.dag_names import CHAMPION
from perennial.gate.rollback_plan import RollbackRequest


@task
def roll_back() -> None:
    """Let an earlier version serve again and pause automatic promotion; skipped in a run that resumes it."""
    from perennial.gate import rollback

    with po.noting_refusal():
        use_case, request = po.rollback_request("rollback")
        entry = rollback.roll_back(use_case, request, made_by=po.run_reference(), actor=po.triggering_user())
    po.emit_asset_event(po.champion_asset(use_case), entry.as_json())


@task(multiple_outputs=False)
def resume() -> dict:
    """Resume automatic promotion by the gate; skipped in a run that rolls back."""
    from perennial.gate import rollback

    with po.noting_refusal():
        request = po.rollback_request("resume")
        return rollback.resume(*request, made_by=po.run_reference(), actor=po.triggering_user()).as_json()


def champion_dag(use_case: UseCase) -> None:
    """Make the DAG."""
    # Never paused: it runs only on demand, and one call has to be enough.
    arguments = po.dag_arguments(use_case, CHAMPION, __doc__, max_active_runs=1, is_paused_upon_creation=False)

    @dag(schedule=None, **arguments)
    def pipeline() -> None:
        roll_back.override(outlets=[po.champion_asset(use_case)])()
        resume()

    po.add_form(pipeline(), RollbackRequest)


for use_case in po.use_cases():
    champion_dag(use_case)
