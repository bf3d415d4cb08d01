"""The features of a request's examples from the online store, in the columns that the model was trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa

from perennial.feature_store import columns, repository
from perennial.feature_store.online_features import EXPIRED, NOT_FOUND
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
        BadFeatures: the feature service is gone.
        ServiceUnavailable: the registry of features does not answer.
    """
    needed = [field.name for field in version.request.fields if field.required]
    keys = [{name: example[name] for name in needed} for example in examples]
    served = repository.online_features(version.use_case.feature_service, keys, statuses=True, at=at)
    requested = version.request.table(examples)
    arrays = {
        name: requested[name] if name in requested.column_names else _values(version, name, served)
        for name in version.columns
        if name in requested.column_names or name in served[0]
    }
    views = {view: name for name in served[0] if (view := columns.view_of(name)) is not None}
    return ModelInputs(
        pa.table(arrays),
        [_missing(version, row) for row in served],
        [{view: row[name] for view, name in views.items()} for row in served],
        frozenset(name for name in arrays if name not in requested.column_names and _type(version, name) is None),
    )


def _values(version: LoadedVersion, name: str, served: Sequence[Mapping[str, Any]]) -> pa.Array:
    """A feature in the type that a retrieval has."""
    return pa.array([row[name] for row in served], _type(version, name))


def _type(version: LoadedVersion, name: str) -> pa.DataType | None:
    """A feature's type in a retrieval; None: of an on-demand feature, it is not known before there are values."""
    kind = version.retrieved.field(name).type if name in version.retrieved.names else None
    return None if kind is None or pa.types.is_null(kind) else kind


def _is_changed_by_null(kind: pa.DataType) -> bool:
    """Whether pandas holds a column of this type in another type once it has a null."""
    return bool(pa.types.is_integer(kind) or pa.types.is_boolean(kind))


def _missing(version: LoadedVersion, row: Mapping[str, Any]) -> dict[str, str]:
    statuses = {name: row.get(columns.status_column(name)) for name in version.columns}
    return {name: status for name, status in statuses.items() if status in (NOT_FOUND, EXPIRED)}
