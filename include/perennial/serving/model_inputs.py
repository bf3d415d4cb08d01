"""What a model sees of a request's examples, and where it comes from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

import pyarrow as pa


@dataclass(frozen=True)
class ModelInputs:
    """What the model sees of n examples, and where it comes from.

    Attributes:
        rows: (n, columns) the model's inputs, in the types that a retrieval for batch scoring has.
        missing: For each example the features that are null because nothing newer than their `ttl` is known, with the
            reason: `not-found` or `expired`.
        event_timestamps: For each example when the values of each feature view became known (UTC; None: nothing is).
        retyped: Columns that take their types from the values.
    """

    rows: pa.Table
    missing: list[dict[str, str]]
    event_timestamps: list[dict[str, datetime | None]]
    retyped: frozenset[str] = frozenset()

    @property
    def schema(self) -> pa.Schema:
        """The names and types of the columns."""
        return self.rows.schema

    def values_of(self, names: Sequence[str]) -> list[list[Any]]:
        """For each example the plain values of these columns.

        Args:
            names: The columns.
        """
        columns = [self.rows[name].to_pylist() for name in names]
        return [list(row) for row in zip(*columns, strict=True)] if names else [[] for _ in self.missing]

    @property
    def frame_types(self) -> tuple[Any, ...]:
        """What decides how pandas holds the columns: their types, and of integers and booleans whether one is null."""
        return tuple(
            (field.name, field.type, _is_changed_by_null(field.type) and self.rows[number].null_count > 0)
            for number, field in enumerate(self.rows.schema)
        )

    def split(self, sizes: Sequence[int]) -> list[ModelInputs]:
        """The examples in consecutive parts, each as if it had been read alone.

        Args:
            sizes: How many examples each part has.
        """
        parts, start = [], 0
        for size in sizes:
            rows = self.rows.slice(start, size)
            for name in self.retyped:
                rows = rows.set_column(rows.column_names.index(name), name, [pa.array(rows[name].to_pylist())])
            end = start + size
            parts.append(ModelInputs(rows, self.missing[start:end], self.event_timestamps[start:end]))
            start = end
        return parts


class PlainInputs(ModelInputs):
    """Inputs as plain values, which become columns only if somebody asks for them.

    Args:
        schema: The model's inputs, in its order.
        values: For each of n examples their values.
        missing: See `ModelInputs`.
        event_timestamps: See `ModelInputs`.
    """

    def __init__(
        self,
        schema: pa.Schema,
        values: list[list[Any]],
        missing: list[dict[str, str]],
        event_timestamps: list[dict[str, datetime | None]],
    ) -> None:
        self.__dict__.update(
            _schema=schema, values=values, missing=missing, event_timestamps=event_timestamps, retyped=frozenset()
        )

    values: list[list[Any]]

    @property
    def schema(self) -> pa.Schema:
        """The names and types of the columns."""
        return self.__dict__["_schema"]

    @cached_property
    def rows(self) -> pa.Table:
        """(n, columns) the model's inputs, in the types that a retrieval for batch scoring has."""
        columns = zip(*self.values, strict=True)
        return pa.table(
            [pa.array(column, field.type) for column, field in zip(columns, self.schema, strict=True)],
            schema=self.schema,
        )

    def values_of(self, names: Sequence[str]) -> list[list[Any]]:
        """For each example the plain values of these columns.

        Args:
            names: The columns.
        """
        places = [self.schema.get_field_index(name) for name in names]
        return [[row[place] for place in places] for row in self.values]

    def split(self, sizes: Sequence[int]) -> list[ModelInputs]:
        """The examples in consecutive parts, each as if it had been read alone.

        Args:
            sizes: How many examples each part has.
        """
        parts: list[ModelInputs] = []
        start = 0
        for size in sizes:
            end = start + size
            some = self.values[start:end], self.missing[start:end], self.event_timestamps[start:end]
            parts.append(PlainInputs(self.schema, *some))
            start = end
        return parts


def _is_changed_by_null(kind: pa.DataType) -> bool:
    """Whether pandas holds a column of this type in another type once it has a null."""
    return bool(pa.types.is_integer(kind) or pa.types.is_boolean(kind))
