"""What happens to the use case `energy` in a stored home: done by `write.py`, and by the tests that go on from it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pipelines
import pyarrow as pa
import pytest

from perennial import gate, quarantine, scoring
from perennial.errors import BadBatch
from perennial.feature_store.parity import check_and_record
from perennial.ingestion import ingest
from perennial.monitoring import monitor
from perennial.monitoring.verdict import Verdict
from perennial.partitions import Partition
from perennial.training import fit, planning
from perennial.use_case import UseCase

#: The day of which three rows are refused, and the values that they hold instead of their own.
SPOILED_DAY, SPOILED = "2024-01-02", (1001.0, 5000.0, 6000.0)
#: What these rows break.
TOO_HIGH = "expect_column_values_to_be_between(kwh)"


def run_day(energy: UseCase, day: str) -> Verdict:
    """All pipelines that go partition by partition."""
    partition = energy.partition(day)
    pipelines.run_features(energy, partition)
    check_and_record(energy, partition)
    scoring.score(energy, partition)
    return monitor.monitor(energy, partition)


def retrain(energy: UseCase, day: str | None, made_by: str, **params: object) -> gate.GateDecision:
    """A training run, decided on by the gate."""
    plan = planning.plan_training(energy, day, params)
    version = fit.fit_challenger(energy, plan, planning.build_training_set(energy, plan), made_by=made_by)
    return gate.finalize(energy, gate.evaluate(energy, version))


def refuse_batch(energy: UseCase, day: str) -> None:
    """A batch of forty rows arrives, which are too few."""
    try:
        with spoiled_source(energy, rows=40):
            ingest.ingest_partition(energy, energy.partition(day))
    except BadBatch:
        return
    raise AssertionError("the batch was not refused")


@contextmanager
def spoiled_source(energy: UseCase, rows: int | None = None) -> Iterator[None]:
    """Inside, the source gives values that are too high for three meters on `SPOILED_DAY`.

    Args:
        rows: Of each day only so many rows; None: all.
    """
    source = energy.module("source")
    original = source.readings

    def readings(partition: Partition) -> pa.Table:
        table = original(partition)
        if partition.key == SPOILED_DAY:
            values = [*SPOILED, *table["kwh"].to_pylist()[len(SPOILED) :]]
            table = table.set_column(table.column_names.index("kwh"), "kwh", pa.array(values))
        return table.slice(0, rows)

    with pytest.MonkeyPatch.context() as changed:
        changed.setattr(source, "readings", readings)
        yield


def quarantined_rows(energy: UseCase, day: str) -> dict[float, str]:
    """The quarantined rows of a day: the value of each, and its name."""
    items = quarantine.list_items(energy, energy.partition(day), None)
    return {json.loads(item.detail)["kwh"]: item.item for item in items if item.kind == "row"}
