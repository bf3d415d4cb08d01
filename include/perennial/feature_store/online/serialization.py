"""Serializes Arrow columns to the bytes that Feast's online stores keep: protobuf `Value`s and entity keys.

Feast builds a protobuf object for every value, by way of NumPy: slow, and an integer beside a null becomes a float on
the way. Here the common types are written straight in protobuf's wire format, a column at a time; all others take
Feast's own conversion, by way of Python's exact numbers. Either way the bytes are those that Feast would write.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from feast.infra.key_encoding_utils import serialize_entity_key
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.protos.feast.types.Value_pb2 import ValueType as ProtoType
from feast.type_map import python_values_to_proto_values
from feast.value_type import ValueType

#: Type -> its field in `Value`, and the Arrow type whose memory is encoded.
_SCALARS: dict[ValueType, tuple[str, pa.DataType]] = {
    ValueType.DOUBLE: ("double_val", pa.float64()),
    ValueType.FLOAT: ("float_val", pa.float32()),
    ValueType.INT64: ("int64_val", pa.int64()),
    ValueType.INT32: ("int32_val", pa.int32()),
    ValueType.BOOL: ("bool_val", pa.bool_()),
    ValueType.STRING: ("string_val", pa.binary()),
    ValueType.BYTES: ("bytes_val", pa.binary()),
}
_NULL = b""
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5


def values(column: pa.Array, kind: ValueType) -> list[bytes]:
    """Each value of a column, as a serialized `Value`.

    Args:
        column: n values.
        kind: The type of the field.

    Returns:
        n messages; null is the empty one.
    """
    field, memory = _SCALARS.get(kind, ("", None))
    if memory is None or not _fits(column.type, memory):
        return [value.SerializeToString() for value in protos(column, kind)]
    if pa.types.is_large_string(column.type) or pa.types.is_large_binary(column.type):
        column = column.cast(pa.large_binary())
    else:
        column = column.cast(memory)
    number = Value.DESCRIPTOR.fields_by_name[field].number << 3
    if memory == pa.binary():
        return _with_length(column, number | _LENGTH)
    if pa.types.is_floating(memory):
        encoded = _fixed(column, number | (_FIXED64 if memory == pa.float64() else _FIXED32))
    else:
        encoded = _varints(column, number | _VARINT)
    if column.null_count:
        for row in np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False)):
            encoded[row] = _NULL
    return encoded


def protos(column: pa.Array, kind: ValueType) -> list[Value]:
    """Each value of a column as a `Value`, by Feast's own conversion of exact Python values.

    Args:
        column: n values.
        kind: The type of the field.
    """
    return python_values_to_proto_values(column.to_pylist(), kind)


def entity_keys(columns: Mapping[str, tuple[pa.Array, ValueType]], version: int) -> list[bytes]:
    """Each row's entity key, as Feast serializes it.

    Args:
        columns: Join key -> its n values, none of them null, and their type.
        version: Feast's `entity_key_serialization_version`.

    Returns:
        n keys.

    Raises:
        ValueError: Feast takes no keys of such a type.
    """
    parts = {name: _key_parts(column, kind) for name, (column, kind) in columns.items()}
    if version < 3 or any(part is None for part in parts.values()):
        values = [protos(column, kind) for column, kind in columns.values()]
        return [
            serialize_entity_key(EntityKey(join_keys=list(columns), entity_values=row), version)
            for row in zip(*values, strict=True)
        ]
    head = struct.pack("<I", len(parts))
    for name in sorted(parts):
        head += struct.pack("<II", ProtoType.STRING, len(name.encode())) + name.encode()
    ordered = [part for name in sorted(parts) for part in [parts[name]] if part is not None]
    if len(ordered) == 1:
        return [head + part for part in ordered[0]]
    return [head + b"".join(row) for row in zip(*ordered, strict=True)]


def _key_parts(column: pa.Array, kind: ValueType) -> list[bytes] | None:
    """Type, length and bytes of each value of a join key; None if this is left to Feast."""
    if kind == ValueType.STRING and (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        head = struct.pack("<I", ProtoType.STRING)
        binary = column.cast(pa.large_binary() if pa.types.is_large_string(column.type) else pa.binary()).to_pylist()
        return [head + struct.pack("<I", len(value)) + value for value in binary]
    if kind == ValueType.INT64 and pa.types.is_integer(column.type):
        return _records(column.cast(pa.int64()), struct.pack("<II", ProtoType.INT64, 8), "<i8")
    if kind == ValueType.INT32 and pa.types.is_integer(column.type):
        return _records(column.cast(pa.int32()), struct.pack("<II", ProtoType.INT32, 4), "<i4")
    return None


def _fits(stored: pa.DataType, memory: pa.DataType) -> bool:
    """Whether Arrow converts one type to the other without changing a value, or raises."""
    if memory == pa.binary():
        return (
            pa.types.is_string(stored)
            or pa.types.is_large_string(stored)
            or pa.types.is_binary(stored)
            or pa.types.is_large_binary(stored)
        )
    if memory == pa.bool_():
        return pa.types.is_boolean(stored)
    if pa.types.is_floating(memory):
        return pa.types.is_floating(stored) and (stored == memory or memory == pa.float64())
    return pa.types.is_integer(stored)


def _fixed(column: pa.Array, tag: int) -> list[bytes]:
    return _records(column, bytes([tag]), "<f8" if column.type == pa.float64() else "<f4")


def _records(column: pa.Array, head: bytes, kind: str) -> list[bytes]:
    """`head` and the value's own bytes, for each value; what is null is anything."""
    record = np.dtype([("head", f"S{len(head)}"), ("value", kind)])
    rows = np.zeros(len(column), record)
    # Not as NumPy strings: those lose trailing zeros.
    rows.view(np.uint8).reshape(len(column), record.itemsize)[:, : len(head)] = np.frombuffer(head, np.uint8)
    rows["value"] = pc.fill_null(column, 0).to_numpy(zero_copy_only=False)
    return _cut(rows.tobytes(), record.itemsize)


def _cut(content: bytes, size: int) -> list[bytes]:
    return [content[start : start + size] for start in range(0, len(content), size)]


def _varints(column: pa.Array, tag: int) -> list[bytes]:
    """Integers in protobuf's base 128, negative ones as 64 bits."""
    integers = pc.fill_null(column, False if column.type == pa.bool_() else 0).cast(pa.int64())
    unsigned = integers.to_numpy(zero_copy_only=False).view(np.uint64)
    groups = unsigned[:, None] >> (np.arange(10, dtype=np.uint64) * np.uint64(7))
    used = np.maximum((groups != 0).sum(axis=1), 1)
    digits = np.empty((len(unsigned), 11), np.uint8)
    digits[:, 0] = tag
    digits[:, 1:] = groups & np.uint64(0x7F)
    digits[:, 1:] |= np.where(np.arange(10) < used[:, None] - 1, 0x80, 0).astype(np.uint8)
    content = digits.tobytes()
    return [content[11 * row : 11 * row + 1 + count] for row, count in enumerate(used.tolist())]


def _with_length(column: pa.Array, tag: int) -> list[bytes]:
    heads = [bytes([tag, length]) for length in range(128)]
    return [
        _NULL
        if value is None
        else heads[len(value)] + value
        if len(value) < 128
        else bytes([tag]) + _varint(len(value)) + value
        for value in column.to_pylist()
    ]


def _varint(number: int) -> bytes:
    digits = []
    while number > 0x7F:
        digits.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*digits, number])
