"""Undo: an earlier version serves again, and automatic promotion pauses until it is resumed.

Runs on demand only. `roll_back` moves the champion back in one step, to the version before it or to one that is named;
the ledger says who and why. From the first partition that is not scored yet, that version predicts; monitors compare
with its training profile. While promotion is paused retraining goes on, but a person decides on what the gate would
promote. A run with the action `resume` ends the pause. Publishes the asset `champion` on a rollback. A failed run has
changed nothing, or is completed by clearing its task.
"""

from airflow.sdk import dag, task

from perennial import UseCase
from perennial import orchestration as po
from perennial.gate.rollback_plan import RollbackRequest


@task
def roll_back() -> None:
    """Let an earlier version serve again and pause automatic promotion; skipped in a run that resumes it."""
    from perennial.gate import rollback

    use_case, wish = po.wish("rollback")
    entry = rollback.roll_back(use_case, wish, made_by=po.run_name(), actor=po.person())
    po.announce(po.champion_asset(use_case), entry.as_json())


@task(multiple_outputs=False)
def resume() -> dict:
    """Let the gate promote by itself again; skipped in a run that rolls back."""
    from perennial.gate import rollback

    return rollback.resume(*po.wish("resume"), made_by=po.run_name(), actor=po.person()).as_json()


def champion(use_case: UseCase) -> None:
    # Never paused: it runs only when somebody asks, and then one call has to be enough.
    shared = po.pipeline(use_case, "champion", __doc__, max_active_runs=1, is_paused_upon_creation=False)

    @dag(schedule=None, **shared)
    def pipeline() -> None:
        roll_back.override(outlets=[po.champion_asset(use_case)])()
        resume()

    # Given earlier, each task would get a copy of its own.
    pipeline().params.update(po.form(RollbackRequest))


for use_case in po.use_cases():
    champion(use_case)
