"""Reads what was served: from the online store now, or from predictions that scoring stored; and samples entities."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import polars as pl
import pyarrow as pa
from feast import FeatureStore, FeatureView
from feast.feature_view import DUMMY_ENTITY_ID, DUMMY_ENTITY_VAL
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.type_map import feast_value_type_to_python_type, python_values_to_proto_values
from feast.types import FeastType

from perennial.feature_store.columns import event_timestamp_column
from perennial.feature_store.source import stored_name
from perennial.feature_store.storage.scan import source_of

_INSTANT = timedelta(microseconds=1)
_SECOND = timedelta(seconds=1)


@dataclass(frozen=True)
class ServedRow:
    """What was served of one feature view for one entity.

    Attributes:
        key: Its join keys, as the view names them.
        at: The moment it was served for (event time, UTC).
        values: Features, as Python values of the types that the view declares; null is None, which NaN is not.
        time: When the values became known (event time, UTC). None: there were none, or the time was not stored.
    """

    key: Mapping[str, Any]
    at: datetime
    values: Mapping[str, Any]
    time: datetime | None


def read_online(
    store: FeatureStore, view: FeatureView, keys: Sequence[Mapping[str, Any]], until: datetime
) -> list[ServedRow]:
    """What the online store serves now.

    The moment of a row is the last instant before `until`; or its own event time, where another process is bringing
    later rows online meanwhile.

    Args:
        store: The Feast store.
        view: The view.
        keys: The join keys of n entities.
        until: To when the view has been materialized, exclusive, UTC.

    Returns:
        n rows.
    """
    names = [name for name in view.join_keys if name != DUMMY_ENTITY_ID]
    types = {column.name: column.dtype for column in view.entity_columns}
    columns = {name: _protos([key[name] for key in keys], types[name]) for name in names}
    if not names:
        columns = {DUMMY_ENTITY_ID: python_values_to_proto_values([DUMMY_ENTITY_VAL] * len(keys))}
    entities = [EntityKey(join_keys=list(columns), entity_values=row) for row in zip(*columns.values(), strict=True)]
    features = [feature.name for feature in view.features]
    response = store.provider.online_read(store.config, view, entities, features)
    rows = []
    for key, (time, protos) in zip(keys, response, strict=True):
        values = {
            name: feast_value_type_to_python_type(protos[name]) if protos and name in protos else None
            for name in features
        }
        at = max(until - _INSTANT, end_of_second(time)) if time else until - _INSTANT
        rows.append(ServedRow(key, at, values, time))
    return rows


def read_logged(view: FeatureView, rows: pa.Table, features: Collection[str]) -> list[ServedRow]:
    """The part of a view in rows that an earlier retrieval returned and scoring stored.

    Args:
        view: One of the views they were retrieved from.
        rows: n rows: the view's join keys, `event_timestamp` (the moment they were served for), some of its features,
            and `<view>__event_timestamp` if that was stored.
        features: Those that were asked for then; a column that was added later is null in such rows.

    Returns:
        n rows.
    """
    asked_for = {*features} & {*rows.column_names}
    types = {feature.name: feature.dtype for feature in view.features if feature.name in asked_for}
    names = [name for name in view.join_keys if name != DUMMY_ENTITY_ID]
    time = event_timestamp_column(view.name)
    columns = {name: as_served(rows[name].to_pylist(), kind) for name, kind in types.items()}
    times = rows[time].to_pylist() if time in rows.column_names else [None] * rows.num_rows
    keys = rows.select(names).to_pylist() if names else [{}] * rows.num_rows
    moments = rows["event_timestamp"].to_pylist()
    return [
        ServedRow(key, at, {name: values[number] for name, values in columns.items()}, served_at)
        for number, (key, at, served_at) in enumerate(zip(keys, moments, times, strict=True))
    ]


def sample_keys(
    store: FeatureStore, view: FeatureView, start: datetime | None, end: datetime, count: int, seed: int
) -> list[dict[str, Any]]:
    """Entities that have a row in an interval: the one with the newest row, then others by their hash.

    The same rows, `count` and `seed` give the same entities.

    Args:
        store: The Feast store.
        view: The view.
        start: Inclusive, event time in UTC; None: from the beginning.
        end: Exclusive, event time in UTC.
        count: At most how many.
        seed: Of the hash.

    Returns:
        Their join keys; fewer than `count` where there are fewer entities.

    Raises:
        BadFeatures: the view has no offline source to compare with.
    """
    source = source_of(view)
    keys = {stored_name(source, name): name for name in view.join_keys if name != DUMMY_ENTITY_ID}
    time = stored_name(source, source.timestamp_field)
    job = store.provider.offline_store.pull_all_from_table_or_query(
        config=store.config,
        data_source=source,
        join_key_columns=list(keys),
        feature_name_columns=[stored_name(source, view.features[0].name)],
        timestamp_field=time,
        created_timestamp_column=None,
        start_date=start,
        end_date=end - _INSTANT,
    )
    rows = job.to_arrow()
    if not rows.num_rows:
        return []
    if not keys:
        return [{}]
    newest_first = pl.DataFrame(rows.select([*keys, time])).drop_nulls().sort(time, *keys, descending=True)
    entities = newest_first.select(pl.exclude(time)).unique(maintain_order=True).rename(keys)
    by_hash = entities[1:].with_columns(__hash=pl.struct(pl.all()).hash(seed)).sort("__hash").drop("__hash")
    return [*entities[:1].to_dicts(), *by_hash[: max(count - 1, 0)].to_dicts()]


def as_served(values: Sequence[Any], kind: FeastType) -> list[Any]:
    """Values as a feature of this type serves them: a Float32 rounded, a timestamp in whole seconds.

    Args:
        values: n values as the offline store has them.
        kind: The type that the view declares.

    Returns:
        n Python values; null is None.
    """
    protos = iter(_protos([value for value in values if not _is_missing(value)], kind))
    return [value if _is_missing(value) else feast_value_type_to_python_type(next(protos)) for value in values]


def _protos(values: Iterable[Any], kind: FeastType) -> list:
    return python_values_to_proto_values(list(values), kind.to_value_type())


def _is_missing(value: Any) -> bool:
    """Null, or NaN, which Feast's own conversion takes for null."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def end_of_second(time: datetime) -> datetime:
    """The last instant that a store which keeps whole seconds may have meant."""
    return time if time.microsecond else time + _SECOND - _INSTANT
