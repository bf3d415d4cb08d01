"""The clock -> what is new of the partition under way -> lake -> online store, for use cases with `refresh`.

Features become known hourly, say, while scoring, training and monitoring wait for the partition's end: no asset event
is published. Skipped where no partition is under way, as after the use case's end. The run of `features` at the
partition's end replaces it as a whole.
"""

from airflow.sdk import dag, task

from perennial import UseCase
from perennial import orchestration as po
from perennial.dag_names import REFRESH
from perennial.runs.params import RefreshParams


@task(multiple_outputs=False)
def refresh() -> dict:
    """Fetch, validate and compute what is new of the partition under way, and bring what has changed online."""
    from perennial.ingestion import refresh

    refreshed = refresh.refresh_features(po.use_case_of_run(), po.moment_of_run(), po.params_of_run()["sources"])
    if refreshed is None:
        po.skip("There is nothing to refresh; the log says why.")
    return refreshed


def refresh_dag(use_case: UseCase, cron: str) -> None:
    """Make the DAG."""
    # One run at a time: a later one has what an earlier one would bring.
    arguments = po.dag_arguments(use_case, REFRESH, __doc__, max_active_runs=1)

    @dag(schedule=po.on_cron(cron), **arguments)
    def pipeline() -> None:
        refresh()

    po.add_form(pipeline(), RefreshParams)


for use_case in po.use_cases():
    if use_case.refresh is not None:
        refresh_dag(use_case, use_case.refresh.cron)
