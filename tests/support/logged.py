"""Served predictions as a prediction server records them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa

from perennial.served_predictions import records, segments
from perennial.served_predictions.records import Batch, NumberedShape, ServedPrediction, Shape

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


def recorded(folder: Path) -> list[dict[str, Any]]:
    """The rows that the log holds, in order."""
    rows: list[dict[str, Any]] = []
    for path in segments.paths(folder / "serving_log"):
        shapes = {}
        for frame in segments.scan(path.read_bytes(), segments.salt_of(path.name)).frames:
            content = records.decode(frame.payload)
            if isinstance(content, NumberedShape):
                shapes[content.number] = content.shape
            if isinstance(content, Batch):
                rows += records.rows(shapes[content.shape], list(content.rows)).to_pylist()
    return rows
