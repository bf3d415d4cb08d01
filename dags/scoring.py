"""Champion x partition -> predictions, appended to the lake once and for all.

Runs when a partition's features are published. Publishes the asset `predictions`, which starts monitoring. A partition
that starts before the first champion held is not scored; the run succeeds and says so.
"""

from airflow.sdk import dag, task

from perennial import UseCase
from perennial import orchestration as po


@task(multiple_outputs=False)
def score() -> dict:
    """Predict the partition's examples by the champion that held when it started; running again adds nothing."""
    from perennial import scoring

    return scoring.score(*po.here())


def scoring(use_case: UseCase) -> None:
    @dag(schedule=po.by_asset(po.features_asset(use_case)), **po.pipeline(use_case, "scoring", __doc__))
    def pipeline() -> None:
        # The champion is an inlet, so that Airflow's graph of assets closes the loop.
        score.override(inlets=[po.champion_asset(use_case)], outlets=[po.predictions_asset(use_case)])()

    pipeline()


for use_case in po.use_cases():
    scoring(use_case)
