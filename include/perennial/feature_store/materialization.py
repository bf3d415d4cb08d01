"""Bringing one feature view online, one interval of event time at a time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from feast import FeatureStore, FeatureView
from feast.feature_view import DUMMY_ENTITY_ID, FeatureViewState
from tqdm import tqdm

from perennial import database
from perennial.feature_store.scan import lake_source

Interval = tuple[datetime, datetime]

#: Feast's intervals hold both their ends, ours only their start.
_INSTANT = timedelta(microseconds=1)


def materialize_view(store: FeatureStore, view: FeatureView, start: datetime, end: datetime) -> int:
    """Write each entity's newest row with an event time in [start, end) online, with the engine that
    feature_store.yaml names, and record the interval; return how many entities there were.

    Unlike Feast's own `materialize`, it prints nothing and never takes the view out of service, so a process killed
    here leaves a view that still answers.
    """
    last = end - _INSTANT
    with database.exclusive("materialize", store.project, view.name):
        rows = _entities(store, view, start, last)
        if rows:
            store.provider.materialize_single_feature_view(
                config=store.config,
                feature_view=view,
                start_date=start,
                end_date=last,
                registry=store.registry,
                project=store.project,
                tqdm_builder=lambda total: tqdm(total=total, disable=True),
            )
        _record(store, view.name, (start, end))
    return rows


def _entities(store: FeatureStore, view: FeatureView, start: datetime, last: datetime) -> int:
    """How many entities have a row with an event time in [start, last]. Feast's engines do not say."""
    source = lake_source(view.batch_source, f"Feature view {view.name!r}")
    job = store.provider.offline_store.pull_latest_from_table_or_query(
        config=store.config,
        data_source=source,
        join_key_columns=[source.column(key) for key in view.join_keys if key != DUMMY_ENTITY_ID],
        feature_name_columns=[source.column(feature.name) for feature in view.features],
        timestamp_field=source.column(source.timestamp_field),
        created_timestamp_column=source.column(source.created_timestamp_column),
        start_date=start,
        end_date=last,
    )
    return job.to_arrow().num_rows


def _record(store: FeatureStore, view: str, interval: Interval) -> None:
    """Add an interval to those the registry holds, and say that the view can be served."""
    # Feast reads, changes and writes the whole view, so nobody may apply or record in between. It never merges
    # intervals either, though every call costs more the longer their list is.
    with database.exclusive("feast", store.project):
        current = store.registry.get_feature_view(view, store.project)
        current.materialization_intervals = merged([*current.materialization_intervals, interval])
        current.state = FeatureViewState.AVAILABLE_ONLINE
        store.registry.apply_feature_view(current, store.project)


def merged(intervals: Sequence[Interval]) -> list[Interval]:
    """The same time in as few intervals as possible, sorted."""
    result: list[Interval] = []
    for start, end in sorted(intervals):
        if result and start <= result[-1][1] + _INSTANT:
            result[-1] = (result[-1][0], max(result[-1][1], end))
        else:
            result.append((start, end))
    return result
