"""Compares served feature values with the offline store: the one comparison behind every consistency check.

It does not matter where the served values come from: read online a moment ago, or stored by scoring with each
prediction.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa
from feast import FeatureStore, FeatureView
from feast.feature_view import DUMMY_ENTITY_ID

from perennial.feature_store.columns import event_timestamp_column
from perennial.feature_store.parity.served import ServedRow, as_served


@dataclass(frozen=True)
class Difference:
    """One feature that was served with another value, or of another time, than the offline store has for that moment.

    Attributes:
        view: The feature view.
        key: The entity's join keys.
        feature: The feature; `*` where the values agree, or are all missing on one side, but their event times differ.
        at: The moment of serving (event time, UTC).
        served: The value that was served.
        offline: The value that the offline store has.
        served_time: The event time of the served row; None: there was none.
        offline_time: The event time of the offline store's row; None: there is none.
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
    store: FeatureStore,
    view: FeatureView,
    served: Sequence[ServedRow],
    *,
    known_at_the_time: bool,
    with_times: bool = True,
) -> list[Difference]:
    """How served rows differ from what the offline store has for the same entities at the same moments.

    A value older than the view's `ttl` at its moment counts as missing on either side. Values are compared exactly,
    types included; NaN equals NaN only.

    Args:
        store: Opened with `keep_event_timestamps`, and with `snapshots` to compare with an earlier state of the lake.
        view: The view they were served from.
        served: n rows.
        known_at_the_time: The offline store sees only what had been written by each moment. For moments of processing
            time.
        with_times: Compare event times too. A store that keeps whole seconds agrees with the second it rounded down to.
    """
    differences: list[Difference] = []
    for row, expected in zip(served, _offline(store, view, served, known_at_the_time), strict=True):
        is_expired = bool(with_times and view.ttl and row.time and row.at - row.time > view.ttl)
        values = dict.fromkeys(row.values) if is_expired else row.values
        differing = [name for name, value in values.items() if not is_same(value, expected.values[name])]
        if with_times and not differing and not _is_same_time(None if is_expired else row.time, expected.time):
            differing = ["*"]
        differences += [
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
    return differences


def is_same(one: Any, other: Any) -> bool:
    """Whether two values are equal in type and value. NaN equals NaN, and nothing else; null equals null.

    Args:
        one: A feature's value as Python has it.
        other: Another.
    """
    if type(one) is not type(other):
        return False
    if isinstance(one, float) and math.isnan(one):
        return math.isnan(other)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(is_same, one, other))
    return bool(one == other)


def _offline(
    store: FeatureStore, view: FeatureView, served: Sequence[ServedRow], known_at_the_time: bool
) -> list[ServedRow]:
    """What the offline store has for the same entities at the same moments, as it would be served."""
    if not served:
        return []
    features = [feature for feature in view.features if feature.name in served[0].values]
    names = [name for name in view.join_keys if name != DUMMY_ENTITY_ID]
    moments = pa.array([row.at for row in served], pa.timestamp("us", tz="UTC"))
    entities = pa.table({**{name: [row.key[name] for row in served] for name in names}, "event_timestamp": moments})
    rows = store.get_historical_features(
        entity_df=entities,  # our offline store takes Arrow as it is
        features=[f"{view.name}:{feature.name}" for feature in features],
        filter_by_created_timestamp=known_at_the_time,
    ).to_arrow()
    columns = {feature.name: as_served(rows[feature.name].to_pylist(), feature.dtype) for feature in features}
    times = rows[event_timestamp_column(view.name)].to_pylist()
    return [
        ServedRow(row.key, row.at, {name: values[number] for name, values in columns.items()}, times[number])
        for number, row in enumerate(served)
    ]


def _is_same_time(served: datetime | None, offline: datetime | None) -> bool:
    if served is None or offline is None:
        return served is offline
    return served == offline or (served.microsecond == 0 and served == offline.replace(microsecond=0))
