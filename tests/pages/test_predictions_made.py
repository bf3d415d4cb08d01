"""A partition's page tells predictions on request, ahead and backfilled apart."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from perennial import lake
from perennial.pages import layout, partition, partition_data
from perennial.use_case import UseCase

DAY = "2024-01-05"
NOON = datetime(2024, 1, 5, 12, tzinfo=UTC)
MOMENT = pa.timestamp("us", tz="UTC")
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


@pytest.fixture
def use_case(home: Path, energy: UseCase) -> UseCase:
    """Without any table; examples are predicted six hours ahead and one hour ahead."""
    return energy.model_copy(update={"name": f"e{uuid.uuid4().hex[:8]}"})


def store(use_case: UseCase, *rows: tuple[str | None, timedelta], known: bool = True) -> None:
    """Predictions by version 1: how each was made, and how long before its moment."""
    count = len(rows)
    made = {
        "partition": [DAY] * count,
        "event_timestamp": pa.array([NOON] * count, MOMENT),
        "model_version": pa.array([1] * count, pa.int64()),
        "model_run": ["run"] * count,
        "code_version": pa.nulls(count, pa.string()),
        "lake_snapshots": pa.nulls(count, pa.string()),
        "predicted_at": pa.array([NOON - before for _, before in rows], MOMENT),
    }
    if known:
        made["served_as"] = pa.array([served_as for served_as, _ in rows], pa.string())
    lake.replace(use_case.tables.predictions, DAY, pa.table(made))


def shown(use_case: UseCase) -> str:
    day = use_case.partition(DAY)
    made = partition.predictions(use_case, day)
    return layout.render("partition", **partition.view(use_case, day, partition.records(use_case), made))


def test_it_counts_each_way_and_each_lead(use_case: UseCase) -> None:
    on_request = [("champion", MINUTE)] * 2 + [("canary", MINUTE)]
    ahead = [("ahead", 59 * MINUTE)] * 3 + [("ahead", HOUR)] + [("ahead", 2 * HOUR)] * 5 + [("ahead", 7 * HOUR)]
    store(use_case, *on_request, *ahead, *[("backfilled", -HOUR)] * 6)
    made = partition_data.scored(partition.predictions(use_case, use_case.partition(DAY)))
    assert {row["way"]: row["rows"] for row in made} == {
        "on request": 2,
        "on request (canary)": 1,
        "ahead, by 1 hour": 4,
        "ahead, by 6 hours": 5,
        "ahead": 1,
        "backfilled": 6,
    }
    text = shown(use_case)
    assert "19 predictions: 3 on request, 10 ahead, 6 backfilled" in text
    assert "ahead, by 6 hours" in text


@pytest.mark.parametrize("known", [True, False], ids=["backfilled", "an older release's"])
def test_where_nothing_was_served_it_only_counts(use_case: UseCase, known: bool) -> None:
    store(use_case, *[("backfilled", -HOUR)] * 6, known=known)
    text = shown(use_case)
    assert "6 predictions</p>" in text
    assert "on request," not in text
    assert "backfilled</td>" in text
