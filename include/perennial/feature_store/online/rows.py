"""Rows for an online store: serialized, the newest one of each key, with their exact times."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from feast.data_source import DataSource
from feast.feature_view import FeatureView
from feast.infra.key_encoding_utils import deserialize_entity_key, serialize_entity_key
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.types import FeastType

from perennial.feature_store.online import serialization
from perennial.feature_store.storage.declared_types import cast_to_declared

#: What Feast passes to `online_write_batch`: entity key, values, event time, time of writing.
FeastRows = list[tuple[EntityKey, dict[str, Value], datetime, datetime | None]]

#: The time of writing of a row that has none: before all others of its event time.
UNKNOWN = -(2**63)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True)
class OnlineRows:
    """n rows of one view, each of another key, sorted by key, so that two writers never deadlock.

    Attributes:
        keys: n serialized entity keys.
        features: Feature -> n serialized values.
        events: n event times, microseconds since 1970 (UTC).
        created: n times of writing, likewise, or `UNKNOWN`.
    """

    keys: Sequence[bytes]
    features: dict[str, Sequence[bytes]]
    events: Sequence[int]
    created: Sequence[int]

    def __len__(self) -> int:
        return len(self.keys)

    def values(self) -> Iterator[tuple[bytes, ...]]:
        """Each row's values, in the order of `features`."""
        return zip(*self.features.values(), strict=True) if self.features else iter([()] * len(self))

    def take(self, numbers: Sequence[int]) -> OnlineRows:
        """These rows only."""
        return OnlineRows(
            keys=[self.keys[number] for number in numbers],
            features={name: [column[number] for number in numbers] for name, column in self.features.items()},
            events=[self.events[number] for number in numbers],
            created=[self.created[number] for number in numbers],
        )

    def chunks(self, size: int) -> Iterator[OnlineRows]:
        """The rows, at most `size` at a time."""
        for start in range(0, len(self), size):
            end = start + size
            yield OnlineRows(
                self.keys[start:end],
                {name: column[start:end] for name, column in self.features.items()},
                self.events[start:end],
                self.created[start:end],
            )

    def to_feast(self, version: int) -> FeastRows:
        """The rows as Feast passes them to a store, times in UTC.

        Args:
            version: Feast's `entity_key_serialization_version`, 3 or later.
        """
        return [
            (
                deserialize_entity_key(key, entity_key_serialization_version=version),
                {name: Value.FromString(value) for name, value in zip(self.features, values, strict=True)},
                to_datetime(event),
                None if created == UNKNOWN else to_datetime(created),
            )
            for key, values, event, created in zip(self.keys, self.values(), self.events, self.created, strict=True)
        ]

    @staticmethod
    def of(data: FeastRows, version: int) -> Iterator[OnlineRows]:
        """From Feast's rows; those with the same features come together.

        Args:
            data: The rows. Times without a zone are UTC.
            version: Feast's `entity_key_serialization_version`.
        """
        by_features: dict[tuple[str, ...], list[int]] = {}
        for number, (_, row, _, _) in enumerate(data):
            by_features.setdefault(tuple(row), []).append(number)
        for names, numbers in by_features.items():
            rows = [data[number] for number in numbers]
            yield OnlineRows(
                keys=[serialize_entity_key(key, entity_key_serialization_version=version) for key, *_ in rows],
                features={name: [row[name].SerializeToString() for _, row, _, _ in rows] for name in names},
                events=[microseconds(event) for _, _, event, _ in rows],
                created=[UNKNOWN if written is None else microseconds(written) for *_, written in rows],
            )._newest()

    @staticmethod
    def of_arrow(rows: pa.RecordBatch | pa.Table, view: FeatureView, version: int) -> OnlineRows:
        """From Arrow rows that name their columns as the view does.

        Rows without a key or an event time are left out: nobody could ask for them.

        Args:
            rows: Join keys, features, event time and, if the source has one, time of writing.
            view: The view.
            version: Feast's `entity_key_serialization_version`.

        Raises:
            BadFeatures: a value does not fit the type that the view declares.
        """
        source = cast(DataSource, view.batch_source)
        names = source.field_mapping
        event = names.get(source.timestamp_field, source.timestamp_field)
        created = names.get(source.created_timestamp_column, source.created_timestamp_column)
        keys = {column.name: column.dtype for column in view.entity_columns}
        is_complete = pc.is_valid(rows[event])
        for name in keys:
            is_complete = pc.and_(is_complete, pc.is_valid(rows[name]))
        rows = rows.filter(is_complete)

        def declared(name: str, kind: FeastType) -> pa.Array:
            return _one_chunk(cast_to_declared(rows[name], kind, name, view.name))

        return OnlineRows(
            keys=serialization.entity_keys(
                {name: (declared(name, kind), kind.to_value_type()) for name, kind in keys.items()}, version
            ),
            features={
                field.name: serialization.values(declared(field.name, field.dtype), field.dtype.to_value_type())
                for field in view.features
            },
            events=_microseconds(_one_chunk(rows[event])),
            created=_microseconds(_one_chunk(rows[created])) if created else [UNKNOWN] * rows.num_rows,
        )._newest()

    def _newest(self) -> OnlineRows:
        """Each key's newest row, the last of equal ones, sorted by key."""
        newest: dict[bytes, int] = {}
        for number, key in enumerate(self.keys):
            other = newest.get(key)
            if other is None or (self.events[other], self.created[other]) <= (
                self.events[number],
                self.created[number],
            ):
                newest[key] = number
        return self.take([newest[key] for key in sorted(newest)])


def microseconds(time: datetime) -> int:
    """Microseconds since 1970, exact. A time without a zone is UTC."""
    return ((time.replace(tzinfo=UTC) if time.tzinfo is None else time) - _EPOCH) // _MICROSECOND


def to_datetime(microseconds: int) -> datetime:
    """The time (UTC) that is so many microseconds after 1970 began."""
    return _EPOCH + microseconds * _MICROSECOND


def _microseconds(column: pa.Array) -> list[int]:
    """Times of any unit and zone as microseconds, rounded down towards 1970. Null is `UNKNOWN`."""
    if not pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("us", "UTC"))
    exact = column.cast(pa.timestamp("us", column.type.tz), safe=False).cast(pa.int64())
    return pc.fill_null(exact, UNKNOWN).to_numpy(zero_copy_only=False).astype(np.int64).tolist()


def _one_chunk(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
