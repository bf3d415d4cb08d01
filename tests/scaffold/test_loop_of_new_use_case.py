"""What was written from a file lives through the whole loop, on real stores."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import new_cases
import numpy as np
import pandas as pd
import pytest

from perennial import discovery, gate, lake, scoring
from perennial.ingestion import compute, ingest, publish
from perennial.monitoring import monitor
from perennial.partitions import Partition
from perennial.training import fit, planning
from perennial.use_case import UseCase

pytestmark = pytest.mark.usefixtures("mlflow_server")


@pytest.fixture(scope="module")
def written(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[UseCase]:
    """Daily sales by store, as they were found in a file."""
    data = new_cases.csv(new_cases.sales(stores=12), tmp_path_factory.mktemp("data"))
    new_cases.create(project, "new_sales", data, time="Day", label="Revenue", key=["Store Name"], later=["Customers"])
    with new_cases.on_the_path(project):
        yield discovery.load("new_sales")


@pytest.fixture(scope="module")
def closed(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[UseCase]:
    """Daily sales of stores that are closed on Sundays, by day."""
    frame = new_cases.sales(stores=60, days=40)
    frame = frame[pd.to_datetime(frame["Day"], dayfirst=True).dt.dayofweek < 6]
    data = new_cases.csv(frame, tmp_path_factory.mktemp("data"))
    wishes = {"time": "Day", "label": "Revenue", "key": ["Store Name"], "later": ["Customers"], "cadence": "daily"}
    new_cases.create(project, "closed_sales", data, **wishes)
    with new_cases.on_the_path(project):
        yield discovery.load("closed_sales")


@pytest.fixture(scope="module")
def parcels(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[UseCase]:
    """What became of parcels of two depots, by week; heavy ones are late."""
    random, rows = np.random.default_rng(5), 1_600
    heavy, depot = random.normal(size=rows) > 0.5, random.choice(["north", "south"], rows)
    usual, late = random.choice(["on time", "lost", "A-1"], rows, p=[0.7, 0.05, 0.25]), random.uniform(size=rows) < 0.8
    frame = pd.DataFrame({"depot": depot, "weight": heavy + random.uniform(size=rows) / 2})
    frame["outcome"] = np.where(heavy & late, "late", usual)
    frame["sent_at"] = pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(rows) * 97, unit="min")
    data = new_cases.csv(frame, tmp_path_factory.mktemp("data"))
    wishes = {"label": "outcome", "task": "multiclass", "key": ["depot"], "cadence": "weekly"}
    new_cases.create(project, "parcels", data, **wishes)
    with new_cases.on_the_path(project):
        yield discovery.load("parcels")


def live(use_case: UseCase, partitions: list[Partition]) -> tuple[list[int], list[str], list[gate.GateDecision]]:
    """Rows ingested and what was asked for in each partition; what the gate decided."""
    rows, reasons, decisions = [], [], []
    for partition in partitions:
        counts = ingest.ingest_partition(use_case, partition)
        assert counts["quarantined"] == 0
        rows.append(counts["rows"])
        compute.compute_features(use_case, partition)
        publish.publish_features(use_case, partition)
        scoring.score(use_case, partition)
        verdict = monitor.monitor(use_case, partition)
        reasons.append(verdict.reason)
        if monitor.request_retraining(use_case, partition, verdict, made_by=f"monitor-{partition}"):
            plan = planning.plan_training(use_case, partition.key, {})
            version = fit.fit_challenger(use_case, plan, planning.build_training_set(use_case, plan), made_by="run")
            decisions.append(gate.finalize(use_case, gate.evaluate(use_case, version)))
    return rows, reasons, decisions


def test_a_new_use_case_trains_a_model_above_the_baseline(written: UseCase) -> None:
    partitions = list(written.first.through(written.partition("2023-07")))[: written.retraining.initial_partitions + 1]
    rows, reasons, decisions = live(written, partitions)
    assert rows == [12 * (partition.end - partition.start).days for partition in partitions]
    assert reasons == [*[""] * (len(partitions) - 2), "first-model", ""]
    assert [decision.promote for decision in decisions] == [True], decisions[0].reason
    assert "the baseline model and revenue_last" in decisions[0].reason
    assert lake.read("new_sales.predictions", partitions=[partitions[-1].key]).num_rows == 12 * 31


def test_a_new_use_case_of_several_classes_trains_a_model_above_their_shares(parcels: UseCase) -> None:
    partitions = list(parcels.first.through(parcels.partition("2024-04-08")))
    _, reasons, [decision] = live(parcels, partitions[: parcels.retraining.initial_partitions + 1])
    assert reasons[-2:] == ["first-model", ""]
    assert decision.promote, decision.reason
    scored = lake.read("parcels.predictions", partitions=[partitions[parcels.retraining.initial_partitions].key])
    assert set(scored["prediction"].to_pylist()) <= set(parcels.classes)
    assert {f"probability_{name}" for name in ("on_time", "lost", "a_1", "late")} <= set(scored.column_names)


def test_days_without_rows_are_skipped_up_to_the_gate(closed: UseCase) -> None:
    partitions = list(closed.first.through(closed.partition("2023-02-05")))[: closed.retraining.initial_partitions + 1]
    rows, reasons, decisions = live(closed, partitions)
    assert rows == [60 * (partition.start.weekday() < 6) for partition in partitions]
    assert not [reason for reason, count in zip(reasons, rows, strict=True) if reason and not count]
    assert {decision.rows for decision in decisions} <= {60 * days for days in range(5, 8)}
    assert decisions
