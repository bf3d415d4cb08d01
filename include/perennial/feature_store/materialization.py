"""Materializes feature views: brings each entity's newest rows of an interval into the online store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, cast

from perennial._common.heavy_imports import fast_imports
from perennial._common.storage import explaining_database
from perennial.errors import BadFeatures
from perennial.feature_store.feature_services import get_views
from perennial.feature_store.store import REGISTRY, open_store
from perennial.services import postgres

if TYPE_CHECKING:
    import pyarrow as pa
    from feast import FeatureStore, FeatureView
    from feast.infra.passthrough_provider import PassthroughProvider
    from feast.infra.registry.registry import Registry

    from perennial.feature_store.source import LakeSource

#: Start (inclusive) and end (exclusive) in event time, UTC.
Interval = tuple[datetime, datetime]

#: Feast's intervals include both their ends, ours only their start.
_INSTANT = timedelta(microseconds=1)


@explaining_database(REGISTRY)
def materialize(service: str, start: datetime, end: datetime, views: Sequence[str] | None = None) -> dict[str, int]:
    """Bring each view's newest rows with an event time in [start, end) online.

    Safe to run again, in any order and at the same time as others: only a newer value replaces another.

    Args:
        service: The feature service whose views to materialize.
        start: Inclusive, UTC.
        end: Exclusive, UTC.
        views: Only these of its views.

    Returns:
        View -> how many entities were written.

    Raises:
        BadFeatures: There is no such service or view, or a view names what the lake lacks.
    """
    store = open_store()
    of_service = get_views(store, service)
    unknown = sorted(set(views or ()) - set(of_service))
    if unknown:
        raise BadFeatures(
            f"Feature service {service!r} has no view {unknown[0]!r}.", f"It has {', '.join(sorted(of_service))}."
        )
    selected = [view for name, view in of_service.items() if views is None or name in views]
    rows = {view.name: materialize_view(store, view, start, end) for view in selected}
    store.refresh_registry()
    return rows


def materialize_view(store: FeatureStore, view: FeatureView, start: datetime, end: datetime) -> int:
    """Bring one view's newest rows of an interval online, and record the interval.

    Unlike Feast's own `materialize`, it prints nothing and never takes the view out of service: a process killed here
    leaves a view that still answers. The engine is the one that feature_store.yaml names.

    Args:
        store: The Feast store.
        view: A view with rows of its own.
        start: Inclusive, event time in UTC.
        end: Exclusive, event time in UTC.

    Returns:
        How many entities were written; 0 if the engine does not count them.

    Raises:
        BadFeatures: The view names what the lake lacks, or a value does not fit the declared type.
    """
    with fast_imports():
        from feast.infra.common.materialization_job import MaterializationTask

    task = MaterializationTask(store.project, view, start_time=start, end_time=end - _INSTANT)
    # Reading and writing under one lock: of rows with the same times the last written stays, and that must be the one
    # that the lake held last.
    with postgres.advisory_lock("materialize", store.project, view.name):
        [job] = cast("PassthroughProvider", store.provider).batch_engine.materialize(store.registry, task)
        error = job.error()
        if error is not None:
            raise error
        _record(store, view.name, (start, end))
    return getattr(job, "rows", 0)


@explaining_database(REGISTRY)
def bring_online(
    service: str, start: datetime, end: datetime, changed: Mapping[str, pa.Table | None]
) -> dict[str, int]:
    """Bring online what has changed in an interval, and record the interval.

    Args:
        service: The feature service whose views read the tables.
        start: Inclusive, UTC.
        end: Exclusive, UTC.
        changed: Lake table -> its rows that may not be online yet; None: not known, all its rows of the interval may
            be. The caller sees to it that nobody else changes these tables' rows of the interval meanwhile.

    Returns:
        View -> how many entities were written.

    Raises:
        BadFeatures: There is no such service, or a view names what the lake lacks.
    """
    from perennial.feature_store.source import LakeSource

    store = open_store()
    written = {}
    for view in get_views(store, service).values():
        table = view.batch_source.table if isinstance(view.batch_source, LakeSource) else None
        if table is not None and table in changed:
            count = _write_rows(store, view, changed[table], (start, end))
            written[view.name] = materialize_view(store, view, start, end) if count is None else count
    store.refresh_registry()
    return written


@explaining_database(REGISTRY)
def write_online(service: str, table: str, rows: pa.Table) -> dict[str, int]:
    """Bring rows of a lake table online, in every view of a service that reads it.

    Args:
        service: The feature service.
        table: `<use_case>.<table>`.
        rows: Rows that the table holds.

    Returns:
        View -> how many entities were written.

    Raises:
        BadFeatures: There is no such service, or a value does not fit the declared type.
    """
    store, written = open_store(), {}
    for view in _views_of(store, service, table):
        count = _write_rows(store, view, rows, None)
        if count is None:
            moments = rows[cast("LakeSource", view.batch_source).timestamp_field].to_pylist()
            count = materialize_view(store, view, min(moments), max(moments) + _INSTANT) if moments else 0
        written[view.name] = count
    return written


@explaining_database(REGISTRY)
def check_rows(service: str, table: str, rows: pa.Table) -> None:
    """Check that `write_online` could write rows; nothing is written.

    Args:
        service: The feature service.
        table: `<use_case>.<table>`.
        rows: Rows for it.

    Raises:
        BadFeatures: There is no such service, or a value does not fit the declared type.
    """
    store = open_store()
    for view in _views_of(store, service, table):
        serialize = getattr(cast("PassthroughProvider", store.provider).batch_engine, "serialized", None)
        if serialize is not None:
            serialize(view, rows)


def _views_of(store: FeatureStore, service: str, table: str) -> list[FeatureView]:
    """The views of a service that read a lake table."""
    from perennial.feature_store.source import LakeSource

    return [
        view
        for view in get_views(store, service).values()
        if isinstance(view.batch_source, LakeSource) and view.batch_source.table == table
    ]


def _write_rows(store: FeatureStore, view: FeatureView, rows: pa.Table | None, interval: Interval | None) -> int | None:
    """Bring rows online and record their interval; None, and nothing is done, if the engine has to read for itself."""
    write = getattr(cast("PassthroughProvider", store.provider).batch_engine, "write_table", None)
    if rows is None or write is None:
        return None
    with postgres.advisory_lock("materialize", store.project, view.name):
        written = write(view, rows)
        if written is not None and interval is not None:
            _record(store, view.name, interval)
    return cast("int | None", written)


def merged(intervals: Sequence[Interval]) -> list[Interval]:
    """The same time in as few intervals as possible, sorted; empty ones are left out."""
    result: list[Interval] = []
    for start, end in sorted(interval for interval in intervals if interval[0] < interval[1]):
        if result and start <= result[-1][1] + _INSTANT:
            result[-1] = (result[-1][0], max(result[-1][1], end))
        else:
            result.append((start, end))
    return result


def _record(store: FeatureStore, view: str, interval: Interval) -> None:
    """Add an interval to those that the registry holds, and mark the view as online."""
    from feast.feature_view import FeatureViewState
    from feast.infra.registry.registry import Registry

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
    """Write a view's intervals to a registry file.

    There, Feast's `apply_feature_view` leaves them as they were when nothing else of the view changed, and its
    `apply_materialization` only ever adds one.
    """
    content = registry.cached_registry_proto
    for stored in (*content.feature_views, *content.stream_feature_views):
        if (stored.spec.name, stored.spec.project) == (view.name, project):
            del stored.meta.materialization_intervals[:]
            stored.meta.materialization_intervals.extend(view.to_proto().meta.materialization_intervals)
    registry.commit()
