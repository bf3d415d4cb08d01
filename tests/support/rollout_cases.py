"""Served requests as a prediction server records them during a rollout: an answer and the prediction in shadow."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pyarrow as pa

from perennial import lake
from perennial.served_predictions import table as table_of_served
from perennial.use_case import UseCase

FIELDS = [
    *(("prediction_id", pa.string()), ("site", pa.string()), ("meter", pa.string())),
    *(("read_at", pa.timestamp("us", tz="UTC")), ("event_timestamp", pa.timestamp("us", tz="UTC"))),
    *(("answered_at", pa.timestamp("us", tz="UTC")), ("prediction", pa.float64()), ("model_version", pa.int64())),
    *(("served_as", pa.string()), ("shadow_of", pa.string()), ("error", pa.string())),
]
KEY = ("site", "meter", "read_at")


def example_rows(use_case: UseCase, *partitions: str) -> list[dict[str, Any]]:
    """The examples of some partitions of `energy`, with their labels."""
    rows = lake.read(use_case.tables.examples, partitions=partitions)
    assert rows is not None
    return rows.to_pylist()


def answered(
    example: dict[str, Any],
    *,
    answer: tuple[int, float],
    shadow: tuple[int, float | None],
    served_as: str = "champion",
    **more: Any,
) -> list[dict[str, Any]]:
    """The two rows of one request about an example.

    Args:
        example: With its key and `event_timestamp`, the moment of the request.
        answer: Version and prediction of the answer.
        shadow: Version and prediction in shadow; None: it failed.
        served_as: How the answer was served.
        more: Other values of both rows.
    """
    asked = {name: example[name] for name in (*KEY, "event_timestamp")} | {"answered_at": datetime.now(UTC)} | more
    first = {"prediction_id": str(uuid4()), "model_version": answer[0], "prediction": answer[1], "served_as": served_as}
    second = {"prediction_id": str(uuid4()), "model_version": shadow[0], "prediction": shadow[1], "served_as": "shadow"}
    second |= {"shadow_of": first["prediction_id"], "error": "PredictionFailed" if shadow[1] is None else None}
    return [asked | first, asked | second]


def record(use_case: UseCase, rows: list[dict[str, Any]]) -> None:
    """Append rows to `served_predictions`."""
    schema = pa.schema(FIELDS)
    filled = [dict.fromkeys(schema.names) | row for row in rows]
    table = pa.Table.from_pylist(filled, schema=schema)
    table_of_served.append(use_case, table)


def record_pairs(use_case: UseCase, examples: list[dict[str, Any]], errors: dict[int, float], champion: int) -> None:
    """A request about each example; each version misses its label by so much, alternately to either side.

    Args:
        use_case: Whose.
        examples: With their labels.
        errors: By version.
        champion: Who answers.
    """
    (challenger,) = errors.keys() - {champion}
    rows: list[dict[str, Any]] = []
    for number, example in enumerate(examples):
        sign = -1 if number % 2 else 1
        mine, its = (
            (version, example["label"] + sign * errors[version] * (1 + number % 7 / 7))
            for version in (challenger, champion)
        )
        rows += answered(example, answer=its, shadow=mine)
    record(use_case, rows)


def later(example: dict[str, Any], by: timedelta) -> dict[str, Any]:
    """The same example, asked about later."""
    return example | {"event_timestamp": example["event_timestamp"] + by}
