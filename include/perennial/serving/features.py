"""The features of a request's examples from the online store, in the columns that the model was trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa

from perennial.feature_store.frozen.reading import OnlineValues
from perennial.serving.loaded_version import LoadedVersion


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


def read(version: LoadedVersion, examples: Sequence[Mapping[str, Any]], at: datetime | None) -> ModelInputs:
    """Read the newest features of the examples' entities.

    Args:
        version: The version that predicts.
        examples: n examples, as `RequestSchema.check` returned them.
        at: The moment that ages are counted to, UTC; None: now.

    Raises:
        ServiceUnavailable: the online store does not answer.
    """
    needed = [field.name for field in version.request.fields if field.required]
    served = version.reader.read([{name: example[name] for name in needed} for example in examples], at)
    place = {name: number for number, name in enumerate(served.names)}
    requested = version.request.table(examples)
    arrays = {
        name: requested[name] if name in requested.column_names else _values(version, name, served, place[name])
        for name in version.columns
        if name in requested.column_names or name in place
    }
    used = frozenset(version.columns)
    return ModelInputs(
        pa.table(arrays),
        [{name: why for name, why in missing.items() if name in used} for missing in served.missing],
        served.event_timestamps,
        frozenset(name for name in arrays if name not in requested.column_names and _type(version, name) is None),
    )


def _values(version: LoadedVersion, name: str, served: OnlineValues, place: int) -> pa.Array:
    """A feature in the type that a retrieval has."""
    return pa.array([row[place] for row in served.rows], _type(version, name))


def _type(version: LoadedVersion, name: str) -> pa.DataType | None:
    """A feature's type in a retrieval; None: of an on-demand feature, it is not known before there are values."""
    kind = version.retrieved.field(name).type if name in version.retrieved.names else None
    return None if kind is None or pa.types.is_null(kind) else kind


def _is_changed_by_null(kind: pa.DataType) -> bool:
    """Whether pandas holds a column of this type in another type once it has a null."""
    return bool(pa.types.is_integer(kind) or pa.types.is_boolean(kind))
