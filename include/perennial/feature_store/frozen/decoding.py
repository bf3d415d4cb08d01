"""The bytes that online stores keep as the Python values that Feast's SDK returns.

The common types are read straight from protobuf's wire format; everything else, and whatever is not of the declared
type, is parsed by Feast.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from feast.protos.feast.types.Value_pb2 import Value
from feast.type_map import feast_value_type_to_python_type
from feast.value_type import ValueType

#: The value of a serialized `Value`; empty: null.
Decode = Callable[[bytes], Any]

_DOUBLE, _FLOAT = struct.Struct("<d"), struct.Struct("<f")
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5


def decoder(kind: ValueType) -> Decode:
    """What reads the values of a feature.

    Args:
        kind: The type that its view declares.
    """
    make = _MAKERS.get(kind)
    return make(_parse(kind)) if make else _parse(kind)


def _parse(kind: ValueType) -> Decode:
    """Feast's own way."""
    return lambda content: feast_value_type_to_python_type(Value.FromString(content), kind) if content else None


def _tag(field: str, wire: int) -> int:
    return Value.DESCRIPTOR.fields_by_name[field].number << 3 | wire


def _fixed(field: str, wire: int, layout: struct.Struct) -> Callable[[Decode], Decode]:
    tag, size, unpack = _tag(field, wire), layout.size + 1, layout.unpack_from

    def make(otherwise: Decode) -> Decode:
        def decode(content: bytes) -> Any:
            if len(content) == size and content[0] == tag:
                return unpack(content, 1)[0]
            return otherwise(content)

        return decode

    return make


def _integer(field: str, bits: int) -> Callable[[Decode], Decode]:
    tag, sign, span = _tag(field, _VARINT), 1 << (bits - 1), 1 << bits

    def make(otherwise: Decode) -> Decode:
        def decode(content: bytes) -> Any:
            if len(content) < 2 or content[0] != tag or content[-1] > 0x7F:
                return otherwise(content)
            number = shift = 0
            for digit in content[1:-1]:
                if digit < 0x80:  # Another field follows.
                    return otherwise(content)
                number |= (digit & 0x7F) << shift
                shift += 7
            number = (number | content[-1] << shift) & (span - 1)
            return number - span if number & sign else number

        return decode

    return make


def _boolean(otherwise: Decode) -> Decode:
    known = {bytes([_tag("bool_val", _VARINT), value]): bool(value) for value in (0, 1)}
    return lambda content: known[content] if content in known else otherwise(content)


def _text(otherwise: Decode) -> Decode:
    tag = _tag("string_val", _LENGTH)

    def decode(content: bytes) -> Any:
        # One byte of length: up to 127 bytes of text.
        if len(content) > 1 and content[0] == tag and content[1] == len(content) - 2 < 0x80:
            return content[2:].decode()
        return otherwise(content)

    return decode


_MAKERS: dict[ValueType, Callable[[Decode], Decode]] = {
    ValueType.DOUBLE: _fixed("double_val", _FIXED64, _DOUBLE),
    ValueType.FLOAT: _fixed("float_val", _FIXED32, _FLOAT),
    ValueType.INT64: _integer("int64_val", 64),
    ValueType.INT32: _integer("int32_val", 32),
    ValueType.BOOL: _boolean,
    ValueType.STRING: _text,
}
