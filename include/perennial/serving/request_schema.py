"""What a request to a use case may hold, by field and type, and the check of examples against it.

The fields are declared: the join keys of the feature service's views, the request features and the example's key. Their
types are those of the use case's examples in the lake, which the model was trained on.
"""

from __future__ import annotations

import math
import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import cached_property
from typing import Annotated, Any

import msgspec
import numpy as np
import pyarrow as pa

from perennial._common.suggestions import did_you_mean
from perennial.errors import BadFeatures, InvalidExamples
from perennial.serving.fast_check import FastCheck

#: The most examples in one request.
MAX_EXAMPLES = 1000
#: The most problems that an error lists.
_MAX_PROBLEMS = 100
#: What an error shows of a name that a caller made up, in characters.
_SHOWN = 60

#: A problem's path and what is wrong there.
Problem = tuple[str, str]


@dataclass(frozen=True)
class RequestField:
    """One field of an example in a request.

    Attributes:
        name: The column of the use case's examples.
        type: Its type in the lake.
        required: Whether every example has it.
        nullable: Whether it may be null: not what identifies an entity or an example.
    """

    name: str
    type: pa.DataType
    required: bool
    nullable: bool

    @cached_property
    def annotation(self) -> Any:
        """The type as msgspec checks it.

        Raises:
            BadFeatures: a value of this type cannot be sent in a request.
        """
        annotation = _annotation(self.type)
        if annotation is None:
            raise BadFeatures(
                f"Column {self.name!r} of the examples is of type {self.type}, which no request can hold.",
                "Change its type in transforms.py: text, numbers, booleans, dates, times and lists of them are served.",
            )
        return annotation | None if self.nullable else annotation

    def convert(self, value: Any, *, from_text: bool) -> Any:
        """The value in the field's type.

        Args:
            value: From JSON or Python; NumPy's and pandas' scalars are taken as Python's.
            from_text: Whether numbers, booleans and times may be written as text, as on the command line.

        Raises:
            ValueError: it is of another type, out of range or not finite; the message says so.
        """
        if value is None and not self.nullable:
            raise ValueError("null is not allowed: it is part of a key")
        converted = msgspec.convert(_plain(value), self.annotation, strict=not from_text)
        if isinstance(converted, float) and not math.isfinite(converted):
            raise ValueError("expected a finite number; null where none is known")
        pa.array([converted], self.type)
        return converted


@dataclass(frozen=True)
class RequestSchema:
    """The fields of an example in a request.

    Attributes:
        use_case: The use case's name, for errors.
        fields: All fields, the required ones first. Those that are not required are the rest of the example's key:
            all of them are given, or none.
    """

    use_case: str
    fields: tuple[RequestField, ...]

    @cached_property
    def _by_name(self) -> dict[str, RequestField]:
        return {field.name: field for field in self.fields}

    @cached_property
    def _optional(self) -> list[str]:
        return [field.name for field in self.fields if not field.required]

    @cached_property
    def _fast(self) -> FastCheck | None:
        return FastCheck.of(self.fields)

    def check(self, examples: Sequence[Any], *, from_text: bool = False) -> list[dict[str, Any]]:
        """The examples with every value in its type.

        Args:
            examples: n examples, each a mapping of fields to values.
            from_text: See `RequestField.convert`.

        Raises:
            InvalidExamples: a field is unknown, missing, null where it must not be, or of another type, or there are
                no examples or too many; the error lists all problems with their paths.
        """
        if not 1 <= len(examples) <= MAX_EXAMPLES:
            raise self._invalid([("examples", f"expected 1 to {MAX_EXAMPLES} examples, got {len(examples)}")])
        if self._fast is not None and not from_text and (valid := self._fast.checked(examples)) is not None:
            return valid
        checked: list[dict[str, Any]] = []
        problems: list[Problem] = []
        for number, example in enumerate(examples):
            checked.append({})
            problems += self._check_example(f"examples[{number}]", example, checked[-1], from_text)
            if len(problems) >= _MAX_PROBLEMS:
                break
        if problems:
            raise self._invalid(problems[:_MAX_PROBLEMS])
        return checked

    def table(self, examples: Sequence[Mapping[str, Any]]) -> pa.Table:
        """Checked examples as columns, in the types of the lake; a column that no example has is left out.

        Args:
            examples: What `check` returned.
        """
        present = [field for field in self.fields if any(field.name in example for example in examples)]
        return pa.table(
            {field.name: pa.array([example.get(field.name) for example in examples], field.type) for field in present}
        )

    def json_schema(self) -> dict[str, Any]:
        """One example of a request as JSON Schema."""
        return {
            "type": "object",
            "properties": {field.name: msgspec.json.schema(field.annotation) for field in self.fields},
            "required": [field.name for field in self.fields if field.required],
            "additionalProperties": False,
        }

    def _check_example(self, path: str, example: Any, into: dict[str, Any], from_text: bool) -> Iterator[Problem]:
        if not isinstance(example, Mapping):
            yield path, f"expected an object with the fields {', '.join(self._by_name)}"
            return
        for name in example:
            if name not in self._by_name:
                hint = did_you_mean(str(name)[:_SHOWN], self._by_name)
                yield f"{path}.{str(name)[:_SHOWN]}", f"unknown field. {hint}".strip()
        given_of_key = [name for name in self._optional if name in example]
        for name, field in self._by_name.items():
            if name in example:
                try:
                    into[name] = field.convert(example[name], from_text=from_text)
                except (ValueError, OverflowError, TypeError) as error:
                    within, message = explain(error)
                    yield f"{path}.{name}{within}", message
            elif field.required:
                yield f"{path}.{name}", "missing"
            elif given_of_key:
                yield f"{path}.{name}", f"missing: of the key {', '.join(self._optional)} all is given, or nothing"

    def _invalid(self, problems: list[Problem]) -> InvalidExamples:
        listed = "; ".join(f"{path}: {message}" for path, message in problems[:5])
        more = f"; and {len(problems) - 5} more" if len(problems) > 5 else ""
        optional = f", and optionally {', '.join(self._optional)}" if self._optional else ""
        required = ", ".join(field.name for field in self.fields if field.required)
        return InvalidExamples(
            f"Use case {self.use_case!r}: the request is invalid: {listed}{more}.",
            f"An example has {required}{optional}; docs/serving.md describes a request.",
            problems,
        )


def _annotation(kind: pa.DataType) -> Any:
    """The Python type of a lake column's values, with its bounds; None: no request can hold such a value."""
    if pa.types.is_integer(kind):
        bound = 1 << (kind.bit_width - 1)
        return Annotated[int, msgspec.Meta(ge=-bound, le=bound - 1)]
    if pa.types.is_timestamp(kind):
        return Annotated[datetime, msgspec.Meta(tz=True)]
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        inner: Any = _annotation(kind.value_type)
        return None if inner is None else types.GenericAlias(list, (inner,))
    simple = {
        str: pa.types.is_string,
        bool: pa.types.is_boolean,
        float: pa.types.is_floating,
        date: pa.types.is_date,
        Decimal: pa.types.is_decimal,
    }
    return next((python for python, is_kind in simple.items() if is_kind(kind)), None)


def _plain(value: Any) -> Any:
    """NumPy's and pandas' scalars as Python's, which is all that msgspec knows."""
    if isinstance(value, np.generic):
        return value.item()
    return value.to_pydatetime() if isinstance(value, datetime) and hasattr(value, "to_pydatetime") else value


def explain(error: Exception) -> Problem:
    """Where within the field, as in `[2]`, and what is wrong."""
    if isinstance(error, UnicodeError):
        return "", "expected valid Unicode text"
    message, _, within = str(error).replace("`", "").partition(" - at $")
    return within, f"{message[:1].lower()}{message[1:]}"
