"""Served predictions as the log holds them, in MessagePack; and as rows of the lake's table.

Names and types of columns are stored once a segment, as a `Shape`; each batch of predictions refers to one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    import pyarrow as pa


class Shape(msgspec.Struct, frozen=True, array_like=True):
    """What the values of predictions are.

    Attributes:
        use_case: The use case's name.
        columns: Names of the values, in their order, as the lake's table calls them: `table.data_column`.
        schema: Their types: an Arrow schema of these columns, in its IPC format.
        is_class: Whether `prediction` is the name of a class; the probabilities are among the values.
    """

    use_case: str
    columns: tuple[str, ...]
    schema: bytes
    is_class: bool = False

    @staticmethod
    def of(use_case: str, schema: pa.Schema, *, is_class: bool = False) -> Shape:
        """The shape of values with the names and types of an Arrow schema.

        Args:
            use_case: The use case's name.
            schema: Without metadata.
            is_class: As the attribute.
        """
        return Shape(use_case, tuple(schema.names), schema.serialize().to_pybytes(), is_class)


class ServedPrediction(msgspec.Struct, frozen=True, array_like=True, gc=False, kw_only=True):
    """One prediction, or the failure of one; `perennial.lake.schemas.SERVED_PREDICTION` describes the fields.

    Attributes:
        prediction_id: Unique.
        event_timestamp: UTC.
        answered_at: UTC.
        values: One a column of the shape.
    """

    prediction_id: str
    event_timestamp: datetime
    answered_at: datetime
    values: list[Any]
    prediction: float | str | None
    model_version: int
    model_run: str
    served_as: str
    error: str | None = None
    shadow_of: str | None = None
    missing: dict[str, str] | None = None
    latency_ms: float | None = None
    caller: str | None = None
    prediction_lower: float | None = None
    prediction_upper: float | None = None


class NumberedShape(msgspec.Struct, frozen=True, array_like=True, tag="shape"):
    """A shape, by the number under which the batches that follow it in a segment name it."""

    number: int
    shape: Shape


class Batch(msgspec.Struct, frozen=True, array_like=True, tag="batch"):
    """Predictions that were answered together.

    Attributes:
        shape: The number of their shape in this segment.
        rows: The predictions.
    """

    shape: int
    rows: Sequence[ServedPrediction]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(NumberedShape | Batch)


def encode(content: NumberedShape | Batch) -> bytes:
    """The payload of a frame."""
    return _encoder.encode(content)


def decode(payload: bytes) -> NumberedShape | Batch:
    """What a frame holds.

    Raises:
        msgspec.DecodeError: it holds something else.
    """
    return _decoder.decode(payload)


def rows(shape: Shape, predictions: Sequence[ServedPrediction]) -> pa.Table:
    """Predictions as rows of the lake's table.

    Args:
        shape: Of all of them.
        predictions: At least one.

    Raises:
        pa.ArrowInvalid: a value is not of its column's type.
    """
    import pyarrow as pa

    from perennial.lake.schemas import SERVED_PREDICTION

    schema = pa.ipc.read_schema(pa.py_buffer(shape.schema))
    values = zip(*(each.values for each in predictions), strict=True)
    data = {field.name: _array(each, field.type) for field, each in zip(schema, values, strict=True)}
    types = {field.name: field.type for field in SERVED_PREDICTION} | (
        {"prediction": pa.string()} if shape.is_class else {}
    )
    own = {name: pa.array(_own(name, predictions), kind) for name, kind in types.items()}
    return pa.table(data | own)


def _own(name: str, predictions: Iterable[ServedPrediction]) -> list[Any]:
    if name == "missing":
        return [json.dumps(each.missing, sort_keys=True) if each.missing else None for each in predictions]
    return [getattr(each, name) for each in predictions]


def _array(values: Iterable[Any], kind: pa.DataType) -> pa.Array:
    """Values as MessagePack knows them, in their type: dates, times of day and decimals are text there."""
    import pyarrow as pa

    listed = list(values)
    try:
        return pa.array(listed, kind)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return pa.array(listed).cast(kind)
