"""Arrow columns as the bytes that Feast would write."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any

import pyarrow as pa
import pytest
from feast.infra.key_encoding_utils import serialize_entity_key
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.type_map import python_values_to_proto_values
from feast.value_type import ValueType
from hypothesis import given
from hypothesis import strategies as st

from perennial.feature_store.online import serialization

KINDS: dict[ValueType, tuple[pa.DataType, st.SearchStrategy]] = {
    ValueType.DOUBLE: (pa.float64(), st.floats(allow_nan=False)),
    ValueType.FLOAT: (pa.float32(), st.floats(allow_nan=False, width=32)),
    ValueType.INT64: (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    ValueType.INT32: (pa.int32(), st.integers(-(2**31), 2**31 - 1)),
    ValueType.BOOL: (pa.bool_(), st.booleans()),
    ValueType.STRING: (pa.string(), st.text(max_size=200)),
    # Of no bytes at all, Feast makes null or not, depending on the other rows.
    ValueType.BYTES: (pa.large_binary(), st.binary(min_size=1, max_size=200)),
    ValueType.UNIX_TIMESTAMP: (pa.timestamp("us", "UTC"), st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1))),
    ValueType.INT64_LIST: (pa.list_(pa.int64()), st.lists(st.integers(-9, 9), min_size=1, max_size=3)),
}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@given(data=st.data())
def test_values_are_feasts_own_bytes(kind: ValueType, data: st.DataObject) -> None:
    memory, values = KINDS[kind]
    column = pa.array(data.draw(st.lists(st.none() | values, max_size=5)), memory)
    expected = python_values_to_proto_values(column.to_pylist(), kind)
    assert serialization.values(column, kind) == [value.SerializeToString() for value in expected]


@pytest.mark.parametrize("number", [2**53 + 1, -(2**53) - 1, 2**63 - 1])
def test_an_integer_beside_a_null_keeps_its_exact_value(number: int) -> None:
    exact, null = serialization.values(pa.array([number, None]), ValueType.INT64)
    assert Value.FromString(exact).int64_val == number
    assert Value.FromString(null).WhichOneof("val") is None


def test_nan_is_not_null() -> None:
    nan, null = serialization.values(pa.array([math.nan, None]), ValueType.DOUBLE)
    assert math.isnan(Value.FromString(nan).double_val)
    assert null == b""


def test_a_field_is_written_in_its_own_width() -> None:
    assert serialization.values(pa.array([7], pa.int32()), ValueType.INT64) == serialization.values(
        pa.array([7]), ValueType.INT64
    )
    [integer] = serialization.values(pa.array([7]), ValueType.DOUBLE)
    assert Value.FromString(integer).double_val == 7.0


def test_an_integer_too_wide_for_its_field_is_refused() -> None:
    with pytest.raises(pa.ArrowInvalid):
        serialization.values(pa.array([2**31]), ValueType.INT32)


KEYS: dict[str, tuple[ValueType, pa.DataType, st.SearchStrategy]] = {
    "name": (ValueType.STRING, pa.string(), st.text(max_size=20)),
    "long": (ValueType.INT64, pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    "int": (ValueType.INT32, pa.int32(), st.integers(-(2**31), 2**31 - 1)),
    "moment": (ValueType.UNIX_TIMESTAMP, pa.timestamp("s", "UTC"), st.just(1_356_998_400)),
}


@given(data=st.data(), names=st.lists(st.sampled_from(sorted(KEYS)), min_size=1, max_size=4, unique=True))
def test_entity_keys_are_feasts_own_bytes(names: list[str], data: st.DataObject) -> None:
    kinds = {name: KEYS[name][0] for name in names}
    columns = {
        name: pa.array([data.draw(values), data.draw(values)], memory)
        for name in names
        for _, memory, values in [KEYS[name]]
    }
    encoded = serialization.entity_keys({name: (columns[name], kinds[name]) for name in names}, version=3)
    rows = zip(*(_values(columns[name], kinds[name]) for name in names), strict=True)
    assert encoded == [serialize_entity_key(EntityKey(join_keys=names, entity_values=row), 3) for row in rows]


def _values(column: pa.Array, kind: ValueType) -> list[Any]:
    return python_values_to_proto_values(column.to_pylist(), kind)
