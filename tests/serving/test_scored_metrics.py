"""Served and backfilled predictions of the newest monitored partition, in Prometheus' text format."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from perennial import lake
from perennial.lake import schemas
from perennial.serving.scored_metrics import ScoredPredictions
from perennial.use_case import UseCase

NOON = datetime(2024, 1, 5, 12, tzinfo=UTC)


def shown(*names: str) -> set[str]:
    collectors = CollectorRegistry()
    collectors.register(ScoredPredictions(lambda: names))
    return {line for line in generate_latest(collectors).decode().splitlines() if not line.startswith("#")}


def judge(use_case: UseCase, partition: str, minute: int, **evidence: Any) -> None:
    row = dict.fromkeys(schemas.VERDICTS.names) | {
        "partition": partition,
        "recorded_at": NOON + timedelta(minutes=minute),
        "evidence": json.dumps(evidence),
    }
    lake.replace(use_case.tables.verdicts, f"{partition}", pa.Table.from_pylist([row], schema=schemas.VERDICTS))


@pytest.mark.usefixtures("home")
def test_the_newest_partition_is_shown_and_follows_the_lake(energy: UseCase) -> None:
    assert shown("energy", "flights") == set()
    judge(energy, "2024-01-01", 9, rows=100, served=100)
    judge(energy, "2024-01-02", 1, rows=12, served=7)
    label = 'partition="2024-01-02",served_as'
    name = "perennial_serving_scored_predictions"
    assert shown("energy", "flights") == {
        f'{name}{{{label}="served",use_case="energy"}} 7.0',
        f'{name}{{{label}="backfilled",use_case="energy"}} 5.0',
    }
    judge(energy, "2024-01-02", 2, rows=12)
    assert f'{name}{{{label}="backfilled",use_case="energy"}} 12.0' in shown("energy")
    judge(energy, "2024-01-03", 3)
    assert shown("energy") == set(), "nothing was predicted"


def test_while_the_lake_is_away_there_are_no_numbers(monkeypatch, caplog) -> None:
    from perennial.settings import settings

    monkeypatch.setenv("PERENNIAL_DATABASE", "postgresql://nobody@127.0.0.1:9/lake")
    settings.cache_clear()
    assert shown("energy") == set()
    assert "does not answer" in caplog.text
    settings.cache_clear()
