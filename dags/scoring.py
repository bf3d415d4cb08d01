"""Champion x partition -> predictions, appended to the lake once and for all.

Runs when a partition's features are published. Publishes the asset `predictions`, which starts monitoring. A partition
that starts before the first champion was effective is not scored; the run succeeds and says so.
"""

from airflow.sdk import dag, task

from perennial import UseCase
from perennial import orchestration as po
from perennial.dag_names import SCORING


@task(multiple_outputs=False)
def score() -> dict:
    """Predict the partition's examples with the champion of its start; running again adds nothing."""
    from perennial import scoring

    return scoring.score(*po.partition_of_run())


def scoring_dag(use_case: UseCase) -> None:
    """Make the DAG."""

    @dag(schedule=po.on_asset(po.features_asset(use_case)), **po.dag_arguments(use_case, SCORING, __doc__))
    def pipeline() -> None:
        # The champion is an inlet, so that Airflow's graph of assets closes the loop.
        score.override(inlets=[po.champion_asset(use_case)], outlets=[po.predictions_asset(use_case)])()

    pipeline()


for use_case in po.use_cases():
    scoring_dag(use_case)
