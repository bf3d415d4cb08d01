"""What was written from a file lives through the whole loop, on real stores."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import new_cases
import pytest

from perennial import discovery, gate, ingestion, lake, monitoring, scoring, training
from perennial.use_case import UseCase

pytestmark = pytest.mark.usefixtures("mlflow_server")


@pytest.fixture(scope="module")
def written(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[UseCase]:
    """Daily sales by store, as they were found in a file."""
    data = new_cases.csv(new_cases.sales(stores=12), tmp_path_factory.mktemp("data"))
    new_cases.create(project, "new_sales", data, time="Day", label="Revenue", keys=["Store Name"], later=["Customers"])
    with new_cases.on_the_path(project):
        yield discovery.load("new_sales")


def test_it_is_ingested_watched_trained_and_scored_and_its_model_beats_the_trivial_one(written: UseCase) -> None:
    partitions = list(written.first.through(written.partition("2023-07")))[: written.retraining.initial_partitions + 1]
    reasons, decisions = [], []
    for partition in partitions:
        counts = ingestion.ingest(written, partition)
        assert (counts["rows"], counts["quarantined"]) == (12 * (partition.end - partition.start).days, 0)
        ingestion.compute_features(written, partition)
        ingestion.publish(written, partition)
        scoring.score(written, partition)
        verdict = monitoring.monitor(written, partition)
        reasons.append(verdict.reason)
        if monitoring.request_retraining(written, partition, verdict, made_by=f"monitor-{partition}"):
            plan = training.plan(written, partition.key, {})
            version = training.fit(written, plan, training.build_training_set(written, plan), made_by="run")
            decisions.append(gate.settle(written, gate.judge(written, version)))
    assert reasons == [*[""] * (len(partitions) - 2), "first-model", ""], verdict
    assert [decision.promote for decision in decisions] == [True], decisions[0].reason
    assert "the trivial baseline and revenue_last" in decisions[0].reason
    assert lake.read("new_sales.predictions", partitions=[partitions[-1].key]).num_rows == 12 * 31
