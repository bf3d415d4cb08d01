"""The clock -> predictions of examples whose moment is still to come, for use cases that say when (`examples.ahead`).

The champion predicts each example once for each lead, from the features known then, and appends that to the lake's
table `served_predictions`. The partition is scored from those when it has ended. Running again predicts nothing again.
"""

from airflow.sdk import dag, task

from perennial import Ahead, UseCase
from perennial import orchestration as po
from perennial.dag_names import AHEAD


@task(multiple_outputs=False)
def predict_ahead() -> dict:
    """Predict the examples whose lead has come with the champion; without one the run succeeds and says so."""
    from perennial.scoring_ahead import predicting

    return predicting.predict_ahead(po.use_case_of_run())


def ahead_dag(use_case: UseCase, ahead: Ahead) -> None:
    """Make the DAG."""
    # A run that is late does what the next one would do.
    arguments = po.dag_arguments(use_case, AHEAD, __doc__, max_active_runs=1)

    @dag(schedule=po.on_cron(ahead.every), **arguments)
    def pipeline() -> None:
        predict_ahead.override(inlets=[po.champion_asset(use_case)])()

    pipeline()


for use_case in po.use_cases():
    if use_case.examples.ahead:
        ahead_dag(use_case, use_case.examples.ahead)
