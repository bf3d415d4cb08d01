"""The check of valid examples in one call of msgspec; whoever is not valid is checked again, field by field."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NotRequired, TypedDict

import msgspec
import pyarrow as pa

if TYPE_CHECKING:
    from perennial.serving.request_schema import RequestField


@dataclass(frozen=True)
class FastCheck:
    """Accepts examples whose every value is of a simple type and in bounds.

    Attributes:
        kind: `list[TypedDict]` of the fields.
        required: How many fields every example has.
        optional: How many others: all of them are given, or none.
        floats: Fields that have to be finite.
        texts: Fields that have to be Unicode.
    """

    kind: Any
    required: int
    optional: int
    floats: tuple[str, ...]
    texts: tuple[str, ...]

    @staticmethod
    def of(fields: Sequence[RequestField]) -> FastCheck | None:
        """The check of these fields; None: one of them has a type whose values need a closer look.

        Args:
            fields: The fields of an example.
        """
        if not all(_is_simple(field.type) for field in fields):
            return None
        members = {
            field.name: field.annotation if field.required else NotRequired[field.annotation] for field in fields
        }
        required = sum(field.required for field in fields)
        return FastCheck(
            list[TypedDict("Example", members)],  # type: ignore[misc, operator]
            required,
            len(fields) - required,
            tuple(field.name for field in fields if pa.types.is_floating(field.type)),
            tuple(field.name for field in fields if pa.types.is_string(field.type)),
        )

    def checked(self, examples: Sequence[Any]) -> list[dict[str, Any]] | None:
        """The examples with every value in its type; None: something is wrong, or unusual, with one.

        Args:
            examples: n examples.
        """
        try:
            valid: list[dict[str, Any]] = msgspec.convert(examples, self.kind)
        except (msgspec.ValidationError, ValueError, TypeError, OverflowError):
            return None
        for example, given in zip(valid, examples, strict=True):
            # A TypedDict leaves out what it does not know.
            if len(given) != len(example) or len(example) - self.required not in (0, self.optional):
                return None
            for name in self.floats:
                value = example.get(name)
                if value is not None and not math.isfinite(value):
                    return None
            for name in self.texts:
                value = example.get(name)
                if value is not None and not value.isascii() and not _is_unicode(value):
                    return None
        return valid


def _is_simple(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_string(kind) or pa.types.is_boolean(kind) or kind == pa.float64()


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
