"""What was served in a span of time, counted."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from perennial.lake.schemas import SERVED_PREDICTION
from perennial.served_predictions import table, traffic
from perennial.use_case import UseCase

NOON = datetime(2024, 1, 5, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _stores(home: Path) -> None:
    """An empty lake."""


@pytest.fixture
def use_case(energy: UseCase) -> UseCase:
    """A use case without any table."""
    return energy.model_copy(update={"name": f"e{uuid.uuid4().hex[:8]}"})


def serve(use_case: UseCase, *rows: dict) -> None:
    common = {"event_timestamp": NOON, "prediction": 1.0, "served_as": "champion", "model_version": 3, "model_run": "r"}
    made = [common | {"prediction_id": str(uuid.uuid4()), "answered_at": NOON} | row for row in rows]
    table.append(use_case, pa.Table.from_pylist(made, schema=SERVED_PREDICTION))


def test_before_the_first_there_is_nothing(use_case: UseCase) -> None:
    assert traffic.since(use_case, NOON) == []


def test_each_version_is_counted_by_how_it_served(use_case: UseCase) -> None:
    serve(use_case, {}, {}, {"model_version": 4}, {"model_version": 4, "served_as": "canary"}, {"served_as": "shadow"})
    counted = [(each.served_as, each.model_version, each.predictions) for each in traffic.since(use_case, NOON)]
    assert counted == [("champion", 4, 1), ("champion", 3, 2), ("canary", 4, 1), ("shadow", 3, 1)]


def test_what_was_answered_before_is_left_out(use_case: UseCase) -> None:
    # Its moment is of event time, and says nothing about when it was answered.
    serve(use_case, {"answered_at": NOON - timedelta(seconds=1)}, {"event_timestamp": NOON - timedelta(days=400)})
    (each,) = traffic.since(use_case, NOON)
    assert (each.predictions, each.first, each.last, each.per_second) == (1, NOON, NOON, None)


def test_latency_is_told_by_quantiles(use_case: UseCase) -> None:
    serve(use_case, *({"latency_ms": float(number)} for number in range(101)))
    (each,) = traffic.since(use_case, NOON)
    assert (each.p50, each.p95, each.p99) == (50.0, 95.0, 99.0)


def test_errors_and_missing_features_are_shares(use_case: UseCase) -> None:
    serve(use_case, {}, {"missing": '{"a": "expired"}'}, *[{"prediction": None, "error": "PredictionFailed"}] * 2)
    (each,) = traffic.since(use_case, NOON)
    assert (each.errors, each.incomplete, each.p50) == (0.5, 0.5, None)


def test_the_rate_is_that_between_first_and_last(use_case: UseCase) -> None:
    serve(use_case, *({"answered_at": NOON + timedelta(seconds=6 * number)} for number in range(11)))
    (each,) = traffic.since(use_case, NOON)
    assert each.per_second == pytest.approx(11 / 60)


def test_a_burst_has_no_rate(use_case: UseCase) -> None:
    serve(use_case, *({"answered_at": NOON + timedelta(seconds=number)} for number in range(60)))
    (each,) = traffic.since(use_case, NOON)
    assert (each.predictions, each.per_second) == (60, None)
