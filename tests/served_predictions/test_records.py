"""Served predictions in the log become rows of the lake's table, in the types of their columns."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import msgspec
import pyarrow as pa
import pytest
from logged import NOON, prediction

from perennial.served_predictions import records
from perennial.served_predictions.records import Batch, NumberedShape, Shape

MOMENT = pa.timestamp("us", tz="UTC")
LONG_AGO = datetime(1931, 5, 6, 7, 8, 9, 123456, UTC)


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (pa.int64(), [2**53 + 1, None, -(2**63)]),
        (pa.int32(), [1, None]),
        (pa.float64(), [0.1, float("inf"), None, -0.0]),
        (pa.float32(), [0.5, None]),
        (pa.bool_(), [True, None, False]),
        (pa.string(), ["é", "", None]),
        (pa.date32(), [date(2013, 2, 3), None]),
        (pa.decimal128(10, 2), [Decimal("12.30"), None]),
        (MOMENT, [NOON, LONG_AGO, None]),
        (pa.list_(pa.int64()), [[1, 2], None, []]),
        (pa.string(), [None, None]),
    ],
    ids=str,
)
def test_every_type_comes_back(kind: pa.DataType, values: list) -> None:
    shape = Shape.of("energy", pa.schema({"value": kind}))
    several = [prediction(values=[each]) for each in values]
    contents = [records.decode(records.encode(each)) for each in (NumberedShape(0, shape), Batch(0, several))]
    declared, batch = contents
    assert isinstance(declared, NumberedShape)
    assert isinstance(batch, Batch)
    rows = records.rows(declared.shape, list(batch.rows))
    assert rows["value"].type == kind
    assert rows["value"].to_pylist() == values


def test_the_prediction_of_a_class_is_text_also_where_all_have_failed() -> None:
    shape = Shape.of("tickets", pa.schema({"x": pa.int64()}), is_class=True)
    declared = records.decode(records.encode(NumberedShape(0, shape)))
    assert isinstance(declared, NumberedShape)
    failed = records.rows(declared.shape, [prediction(values=[1], prediction=None, error="E")])
    assert failed["prediction"].type == pa.string()
    assert records.rows(declared.shape, [prediction(values=[1], prediction="red")])["prediction"].to_pylist() == ["red"]


def test_a_shape_of_an_earlier_release_is_of_numbers() -> None:
    before = msgspec.msgpack.encode(
        ["shape", 0, ["energy", ["x"], pa.schema({"x": pa.int64()}).serialize().to_pybytes()]]
    )
    declared = records.decode(before)
    assert isinstance(declared, NumberedShape)
    assert records.rows(declared.shape, [prediction(values=[1])])["prediction"].type == pa.float64()


def test_own_columns_are_filled() -> None:
    shape = Shape.of("energy", pa.schema({"meter": pa.string()}))
    several = [
        prediction(values=["m"], missing={"b": "expired", "a": "not-found"}),
        prediction(values=["m"], error="E"),
    ]
    one, other = records.rows(shape, several).to_pylist()
    assert one["missing"] == '{"a": "not-found", "b": "expired"}'
    assert (one["answered_at"], one["caller"], one["latency_ms"], one["error"]) == (NOON, "token:test", 1.25, None)
    assert (other["missing"], other["error"], other["served_as"]) == (None, "E", "champion")
