"""Served predictions as a prediction server records them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pyarrow as pa

from perennial.served_predictions.records import ServedPrediction, Shape

NOON = datetime(2024, 1, 5, 12, tzinfo=UTC)
TYPES = pa.schema(
    {"site": pa.string(), "meter": pa.string(), "read_at": pa.timestamp("us", tz="UTC"), "x": pa.float64()}
)


def shape(use_case: str = "energy", types: pa.Schema = TYPES) -> Shape:
    """What the values are."""
    return Shape.of(use_case, types)


def prediction(moment: datetime = NOON, **other: Any) -> ServedPrediction:
    """One with an id of its own."""
    given = {
        "prediction_id": str(uuid4()),
        "event_timestamp": moment,
        "answered_at": moment,
        "values": ["s", "m", moment, 1.5],
        "prediction": 2.5,
        "model_version": 3,
        "model_run": "run",
        "served_as": "champion",
        "latency_ms": 1.25,
        "caller": "token:test",
    }
    return ServedPrediction(**given | other)
