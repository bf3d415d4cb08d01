"""Bringing one feature view online, one interval of event time at a time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import cast

from feast import FeatureStore, FeatureView
from feast.feature_view import FeatureViewState
from feast.infra.common.materialization_job import MaterializationTask
from feast.infra.passthrough_provider import PassthroughProvider
from feast.infra.registry.registry import Registry

from perennial.services import postgres

Interval = tuple[datetime, datetime]

#: Feast's intervals hold both their ends, ours only their start.
_INSTANT = timedelta(microseconds=1)


def materialize_view(store: FeatureStore, view: FeatureView, start: datetime, end: datetime) -> int:
    """Write each entity's newest row with an event time in [start, end) online, with the engine that
    feature_store.yaml names, and record the interval; return how many entities there were (0 if the engine is one that
    does not say).

    Unlike Feast's own `materialize`, it prints nothing and never takes the view out of service, so a process killed
    here leaves a view that still answers.
    """
    task = MaterializationTask(store.project, view, start_time=start, end_time=end - _INSTANT)
    # Reading and writing under one lock: of rows with the same times the last written stays, and that must be the one
    # that the lake held last.
    with postgres.advisory_lock("materialize", store.project, view.name):
        [job] = cast(PassthroughProvider, store.provider).batch_engine.materialize(store.registry, task)
        error = job.error()
        if error is not None:
            raise error
        _record(store, view.name, (start, end))
    return getattr(job, "rows", 0)


def _record(store: FeatureStore, view: str, interval: Interval) -> None:
    """Add an interval to those the registry holds, and say that the view can be served."""
    # Feast reads, changes and writes the whole view, so nobody may apply or record in between. It never merges
    # intervals either, though every call costs more the longer their list is.
    with postgres.advisory_lock("feast", store.project):
        current = store.registry.get_feature_view(view, store.project)
        current.materialization_intervals = merged([*current.materialization_intervals, interval])
        current.state = FeatureViewState.AVAILABLE_ONLINE
        store.registry.apply_feature_view(current, store.project)
        if isinstance(store.registry, Registry):
            _record_in_file(store.registry, store.project, current)


def _record_in_file(registry: Registry, project: str, view: FeatureView) -> None:
    """Write a view's intervals. In a file, Feast's `apply_feature_view` leaves them as they were when nothing else of
    the view changed, and its `apply_materialization` only ever adds one."""
    content = registry.cached_registry_proto
    for kept in (*content.feature_views, *content.stream_feature_views):
        if (kept.spec.name, kept.spec.project) == (view.name, project):
            del kept.meta.materialization_intervals[:]
            kept.meta.materialization_intervals.extend(view.to_proto().meta.materialization_intervals)
    registry.commit()


def merged(intervals: Sequence[Interval]) -> list[Interval]:
    """The same time in as few intervals as possible, sorted; empty ones are left out."""
    result: list[Interval] = []
    for start, end in sorted(each for each in intervals if each[0] < each[1]):
        if result and start <= result[-1][1] + _INSTANT:
            result[-1] = (result[-1][0], max(result[-1][1], end))
        else:
            result.append((start, end))
    return result
