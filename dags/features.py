"""Raw batch -> judged -> lake -> feature tables -> online store -> parity, one partition a run.

Runs when a partition has ended, or on demand with a partition key. Publishes the asset `features`, which starts
scoring. Running it again for a partition replaces exactly that partition, and changes nothing where nothing changed.
"""

from airflow.sdk import dag, task

from perennial import UseCase
from perennial import orchestration as po
from perennial.runs.params import FeaturesParams


@task(multiple_outputs=False)
def ingest() -> dict:
    """Fetch the partition's raw batches, judge them, write clean rows to the lake and bad ones to quarantine."""
    from perennial.ingestion import ingest

    return ingest.ingest_partition(*po.here(), refetch=po.conf()["refetch"])


@task(multiple_outputs=False)
def compute() -> dict:
    """Compute the partition's feature tables and examples from the lake, judge and write them."""
    from perennial.ingestion import compute

    return compute.compute_features(*po.here())


@task(multiple_outputs=False)
def publish() -> dict:
    """Apply the feature definitions if they changed, and bring exactly this interval to the online store."""
    from perennial.ingestion import publish

    return publish.publish_features(*po.here())


@task(multiple_outputs=False)
def parity() -> dict:
    """Hold what is online against the lake, for sampled entities of each view: the same values, of the same time."""
    from perennial.feature_store.parity import comparison

    return comparison.prove(*po.here())


def features(use_case: UseCase) -> None:
    # One run at a time: features of a partition look back into the partitions before it.
    @dag(schedule=po.by_clock(use_case), **po.pipeline(use_case, "features", __doc__, max_active_runs=1))
    def pipeline() -> None:
        published = publish.override(outlets=[po.features_asset(use_case)])
        ingest() >> compute() >> published() >> parity()

    # Given earlier, each task would get a copy of its own.
    pipeline().params.update(po.form(FeaturesParams))


for use_case in po.use_cases():
    features(use_case)
