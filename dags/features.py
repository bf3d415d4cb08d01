"""Raw batches -> validation -> lake -> feature tables -> online store -> consistency check, one partition a run.

Runs when a partition has ended, or on demand with a partition key. Publishes the asset `features`, which starts
scoring. Running it again for a partition replaces exactly that partition, and changes nothing where nothing changed.
"""

from airflow.sdk import dag, task

from perennial import UseCase
from perennial import orchestration as po
from perennial.dag_names import FEATURES
from perennial.runs.params import FeaturesParams


@task(multiple_outputs=False)
def ingest() -> dict:
    """Fetch and validate the partition's raw batches; write clean rows to the lake and bad ones to quarantine."""
    from perennial.ingestion import ingest

    params = po.params_of_run()
    return ingest.ingest_partition(*po.partition_of_run(), refetch=params["refetch"], sources=params["sources"])


@task(multiple_outputs=False)
def compute() -> dict:
    """Compute the partition's feature tables and examples from the lake, validate and write them."""
    from perennial.ingestion import compute

    return compute.compute_features(*po.partition_of_run())


@task(multiple_outputs=False)
def publish() -> dict:
    """Apply the feature definitions if they changed, and bring exactly this interval to the online store."""
    from perennial.ingestion import publish

    return publish.publish_features(*po.partition_of_run())


@task(multiple_outputs=False)
def parity() -> dict:
    """Compare online and offline store for sampled entities of each view: the same values, of the same time."""
    from perennial.feature_store.parity import check_and_record

    return check_and_record(*po.partition_of_run())


def features_dag(use_case: UseCase) -> None:
    """Make the DAG."""
    # One run at a time: features of a partition look back into the partitions before it.
    arguments = po.dag_arguments(use_case, FEATURES, __doc__, max_active_runs=1)

    @dag(schedule=po.on_partition_end(use_case), **arguments)
    def pipeline() -> None:
        published = publish.override(outlets=[po.features_asset(use_case)])
        ingest() >> compute() >> published() >> parity()

    po.add_form(pipeline(), FeaturesParams)


for use_case in po.use_cases():
    features_dag(use_case)
