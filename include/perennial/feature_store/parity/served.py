"""Served feature values held against the offline store: the one comparison behind every parity check.

It does not matter where the served values come from: read online a moment ago, or kept by scoring with each prediction.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
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

from perennial.errors import BadFeatures
from perennial.feature_store import EVENT_TIMESTAMP

_INSTANT = timedelta(microseconds=1)
_SECOND = timedelta(seconds=1)


@dataclass(frozen=True)
class Served:
    """What was served of one feature view for one entity.

    Args:
        key: Its join keys, as the view calls them.
        at: The moment it was served for (event time, UTC).
        values: Features, as Python values of the types that the view declares; null is None, which NaN is not.
        time: When the values became known (event time, UTC). None: there were none, or nobody wrote down when.
    """

    key: Mapping[str, Any]
    at: datetime
    values: Mapping[str, Any]
    time: datetime | None


@dataclass(frozen=True)
class Difference:
    """One feature that was served with another value, or of another time, than the offline store has for that moment.

    `feature` is `*` where the values agree, or are all missing on one side, but their event times differ.
    """

    view: str
    key: Mapping[str, Any]
    feature: str
    at: datetime
    served: Any
    offline: Any
    served_time: datetime | None
    offline_time: datetime | None


def compare(
    store: FeatureStore, view: FeatureView, served: Sequence[Served], *, only_known: bool, with_times: bool = True
) -> list[Difference]:
    """How `served` differs from what the offline store gives for the same entities at the same moments.

    A value older than the view's `ttl` at its moment counts as missing on either side. Values are compared exactly,
    types included; NaN equals NaN only.

    Args:
        store: Opened with `keep_event_timestamps`, and with `snapshots` to compare with an earlier state of the lake.
        view: The view they were served from.
        served: n rows.
        only_known: The offline store sees only what had been written by each moment. For moments of processing time.
        with_times: Compare event times too. A store that keeps whole seconds agrees with the second it cut off.
    """
    found: list[Difference] = []
    for row, expected in zip(served, _offline(store, view, served, only_known), strict=True):
        expired = bool(with_times and view.ttl and row.time and row.at - row.time > view.ttl)
        values = dict.fromkeys(row.values) if expired else row.values
        differing = [name for name, value in values.items() if not same(value, expected.values[name])]
        if with_times and not differing and not _same_time(None if expired else row.time, expected.time):
            differing = ["*"]
        found += [
            Difference(
                view=view.name,
                key=row.key,
                feature=name,
                at=row.at,
                served=row.values.get(name),
                offline=expected.values.get(name),
                served_time=row.time,
                offline_time=expected.time,
            )
            for name in differing
        ]
    return found


def online(store: FeatureStore, view: FeatureView, keys: Sequence[Mapping[str, Any]], until: datetime) -> list[Served]:
    """What the online store serves now for each key.

    The moment of a row is the last instant before `until`, to which the view has been materialized; or its own event
    time, where another process is bringing later rows online meanwhile.
    """
    names = [name for name in view.join_keys if name != DUMMY_ENTITY_ID]
    types = {column.name: column.dtype for column in view.entity_columns}
    columns = {name: _protos([key[name] for key in keys], types[name]) for name in names}
    if not names:
        columns = {DUMMY_ENTITY_ID: python_values_to_proto_values([DUMMY_ENTITY_VAL] * len(keys))}
    entities = [EntityKey(join_keys=list(columns), entity_values=row) for row in zip(*columns.values(), strict=True)]
    features = [feature.name for feature in view.features]
    answer = store.provider.online_read(store.config, view, entities, features)
    rows = []
    for key, (time, protos) in zip(keys, answer, strict=True):
        values = {
            name: feast_value_type_to_python_type(protos[name]) if protos and name in protos else None
            for name in features
        }
        rows.append(
            Served(key, max(until - _INSTANT, _end_of_second(time)) if time else until - _INSTANT, values, time)
        )
    return rows


def logged(view: FeatureView, rows: pa.Table) -> list[Served]:
    """The part of `view` in rows that a retrieval gave earlier and somebody kept.

    Args:
        view: One of the views they were retrieved from.
        rows: The view's join keys, `event_timestamp` (the moment they were served for), some of its features, and
            `<view>__event_timestamp` if that was kept.
    """
    types = {feature.name: feature.dtype for feature in view.features if feature.name in rows.column_names}
    names = [name for name in view.join_keys if name != DUMMY_ENTITY_ID]
    time = f"{view.name}{EVENT_TIMESTAMP}"
    columns = {name: as_declared(rows[name].to_pylist(), kind) for name, kind in types.items()}
    times = rows[time].to_pylist() if time in rows.column_names else [None] * rows.num_rows
    keys = rows.select(names).to_pylist() if names else [{}] * rows.num_rows
    moments = rows["event_timestamp"].to_pylist()
    return [
        Served(key, at, {name: values[number] for name, values in columns.items()}, known)
        for number, (key, at, known) in enumerate(zip(keys, moments, times, strict=True))
    ]


def sample_keys(
    store: FeatureStore, view: FeatureView, start: datetime | None, end: datetime, count: int, seed: int
) -> list[dict[str, Any]]:
    """The keys of `count` entities that have a row in [start, end): the one with the newest row, then by their hash.

    The same rows, `count` and `seed` give the same keys.

    Raises:
        BadFeatures: the view has no offline source to compare with.
    """
    source = view.batch_source
    if source is None:
        raise BadFeatures(f"Feature view {view.name!r} has no batch source.", "Give it one in feature_repo/.")
    named = {mapped: column for column, mapped in source.field_mapping.items()}
    keys = {named.get(name, name): name for name in view.join_keys if name != DUMMY_ENTITY_ID}
    time = named.get(source.timestamp_field, source.timestamp_field)
    job = store.provider.offline_store.pull_all_from_table_or_query(
        config=store.config,
        data_source=source,
        join_key_columns=list(keys),
        feature_name_columns=[named.get(view.features[0].name, view.features[0].name)],
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


def as_declared(values: Sequence[Any], kind: FeastType) -> list[Any]:
    """`values` as they would be served as a feature of type `kind`: a Float32 rounded, a timestamp in whole seconds."""
    protos = iter(_protos([value for value in values if not _is_missing(value)], kind))
    return [value if _is_missing(value) else feast_value_type_to_python_type(next(protos)) for value in values]


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal in type and value. NaN equals NaN, and nothing else; null equals null."""
    if type(one) is not type(other):
        return False
    if isinstance(one, float) and math.isnan(one):
        return math.isnan(other)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def _offline(store: FeatureStore, view: FeatureView, served: Sequence[Served], only_known: bool) -> list[Served]:
    """What the offline store gives for the same entities at the same moments."""
    if not served:
        return []
    features = [feature for feature in view.features if feature.name in served[0].values]
    names = [name for name in view.join_keys if name != DUMMY_ENTITY_ID]
    moments = pa.array([row.at for row in served], pa.timestamp("us", tz="UTC"))
    entities = pa.table({**{name: [row.key[name] for row in served] for name in names}, "event_timestamp": moments})
    rows = store.get_historical_features(
        entity_df=entities,  # our offline store takes Arrow as it is
        features=[f"{view.name}:{feature.name}" for feature in features],
        filter_by_created_timestamp=only_known,
    ).to_arrow()
    columns = {feature.name: as_declared(rows[feature.name].to_pylist(), feature.dtype) for feature in features}
    times = rows[f"{view.name}{EVENT_TIMESTAMP}"].to_pylist()
    return [
        Served(row.key, row.at, {name: values[number] for name, values in columns.items()}, times[number])
        for number, row in enumerate(served)
    ]


def _protos(values: Iterable[Any], kind: FeastType) -> list:
    return python_values_to_proto_values(list(values), kind.to_value_type())


def _is_missing(value: Any) -> bool:
    """Null, or NaN, which Feast's own conversion takes for null."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def _same_time(served: datetime | None, offline: datetime | None) -> bool:
    if served is None or offline is None:
        return served is offline
    return served == offline or (served.microsecond == 0 and served == offline.replace(microsecond=0))


def _end_of_second(time: datetime) -> datetime:
    """The last instant that a store which keeps whole seconds may have meant."""
    return time if time.microsecond else time + _SECOND - _INSTANT
