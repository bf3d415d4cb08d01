"""Checks the online/offline consistency of a use case's feature views, and records the result.

No check asks a clock: the moment to compare at is the end of what was materialized, or that of the prediction.

A view may declare how far behind that end its newest values may be: by its tag `freshness` (ISO 8601, `PT36H`), else by
its `ttl`. Both are edited in `feature_repo/`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from perennial import lake
from perennial._common.heavy_imports import fast_imports
from perennial.dag_names import FEATURES, SCORING, dag_id
from perennial.errors import BadFeatures
from perennial.feature_store.parity.report import (
    FRESHNESS,
    SHOWN,
    ConsistencyReport,
    ViewConsistency,
    plain,
    raise_if_inconsistent,
)
from perennial.feature_store.publication import AT_ONCE
from perennial.lake.schemas import PARITY
from perennial.partitions import Partition
from perennial.use_case import UseCase

if TYPE_CHECKING:
    from feast import FeatureView

    from perennial.feature_store.parity.comparison import Difference

#: Sampled entities of each view; at a hundred, a fault in one of twenty is missed once in two hundred checks.
KEYS = 100

#: Called with the view that comes next, how many of all views are done, and how many there are.
Progress = Callable[[str, int, int], None]


def check_online(
    use_case: UseCase,
    partition: Partition | None = None,
    keys: int = KEYS,
    progress: Progress = lambda view, done, count: None,
) -> ConsistencyReport:
    """Compare the online rows of up to `keys` entities a view with what the offline store has for the same moment.

    Another partition may be materialized meanwhile: rows that are newer by then are compared at their own time.

    Args:
        use_case: Whose feature service.
        partition: Sample the entities that have a row in it; the same partition gives the same sample. Freshness is
            checked only if nothing later is online. None: sample the entities that the offline store still sees.
        keys: How many entities of each view, at least 1.
        progress: Called before each view.

    Raises:
        BadFeatures: nothing was materialized yet, or the service is not defined.
    """
    from perennial.feature_store import repository

    views = repository.feature_views(use_case.feature_service)
    ends = {name: max((end for _, end in view.materialization_intervals), default=None) for name, view in views.items()}
    now = max((end for end in ends.values() if end is not None), default=None)
    if now is None:
        raise BadFeatures(
            f"Use case {use_case.name!r}: none of its feature views is online yet.",
            f"Run {dag_id(use_case.name, FEATURES)} for {use_case.start} first.",
        )
    is_newest = partition is None or partition.end >= now
    results = []
    for number, (name, view) in enumerate(views.items()):
        progress(name, number, len(views))
        results.append(_check_view(view, ends[name], now if is_newest else None, partition, keys))
    return ConsistencyReport(use_case.name, partition.key if partition else None, tuple(results))


def check_logged(
    use_case: UseCase, partition: Partition, keys: int = KEYS, progress: Progress = lambda view, done, count: None
) -> ConsistencyReport:
    """Compare the features stored with up to `keys` predictions of a partition with the offline store of that time.

    That is at each prediction's moment, in the lake's snapshots that scoring read. What the lake holds differently by
    now, because a partition was corrected since, is counted apart as `corrected`. The features of as many predictions
    that were answered on request are compared too: see `answered`.

    Args:
        use_case: Whose predictions.
        partition: Which of them.
        keys: How many predictions, at least 1.
        progress: Called before each view.

    Raises:
        BadFeatures: the partition has no predictions, or a snapshot they were made from is gone.
    """
    with fast_imports():
        from perennial.feature_store import repository
        from perennial.feature_store.parity import answered, comparison, served

    views = repository.feature_views(use_case.feature_service)
    on_request = answered.sample(use_case, partition, keys, _seed(partition))
    rows = _predictions(use_case, partition, keys, may_be_none=on_request is not None)
    compared = dict.fromkeys(views, rows.num_rows)
    differences: dict[str, list[Difference]] = {name: [] for name in views}
    corrected = dict.fromkeys(views, 0)
    today = repository.open_store(keep_event_timestamps=True)
    done, batches = 0, rows["lake_snapshots"].unique().to_pylist()
    for snapshots in batches:
        batch = rows.filter(pc.equal(rows["lake_snapshots"], snapshots))
        pinned = _existing(use_case, partition, json.loads(snapshots))
        that_time = repository.open_store(keep_event_timestamps=True, snapshots=pinned)
        for name, view in views.items():
            progress(name, done, len(batches) * len(views))
            done += 1
            features = _features_then(view, pinned)
            if not features:
                continue
            logged = served.read_logged(view, batch, features)
            then, now = (
                comparison.compare(store, view, logged, known_at_the_time=True, with_times=False)
                for store in (that_time, today)
            )
            differences[name] += then
            corrected[name] += len([difference for difference in now if difference not in then])
    for name, view in views.items() if on_request is not None else ():
        progress(name, done, len(views))
        count, found = answered.compare(view, on_request)
        compared[name] += count
        differences[name] += found
    results = [
        ViewConsistency(name, compared[name], corrected=corrected[name], differences=tuple(of_view))
        for name, of_view in differences.items()
    ]
    return ConsistencyReport(use_case.name, partition.key, tuple(results), logged=True)


def check_and_record(use_case: UseCase, partition: Partition) -> dict[str, int]:
    """Check a partition that was just published, and append the result to the lake's table `parity`.

    Args:
        use_case: Whose feature service.
        partition: Whose entities to sample.

    Returns:
        The number of `views`, and of `keys` (entities) compared.

    Raises:
        BadFeatures: nothing was materialized yet, or the service is not defined.
        OnlineOfflineMismatch: the online store serves other values than the lake has, or a view is not as fresh as it
            declares.
    """
    report = check_online(use_case, partition)
    _record(use_case, partition, report)
    raise_if_inconsistent(use_case, report)
    return {"views": len(report.views), "keys": sum(view.keys for view in report.views)}


def _check_view(
    view: FeatureView, until: datetime | None, now: datetime | None, partition: Partition | None, count: int
) -> ViewConsistency:
    """Check one view.

    Args:
        view: The view.
        until: The end of what was materialized of it, exclusive, UTC; None: nothing was.
        now: The end of what was materialized of any view, to check freshness; None: do not.
        partition: Whose entities to sample.
        count: How many.
    """
    with fast_imports():
        from perennial.feature_store import repository
        from perennial.feature_store.parity import comparison, served

    freshness = _freshness(view)
    if until is None:
        return ViewConsistency(view.name, 0, freshness=freshness, stale=True)
    # What was brought online is there, whenever its source says that it would be.
    store = repository.open_store(keep_event_timestamps=True, publications={view.name: AT_ONCE})
    span = max(filter(None, (view.ttl, freshness)), default=None)
    # Of the partition; of none, or one without rows of this view: what the offline store still sees; of a view without
    # that: whatever there is.
    windows = [(partition.start, partition.end)] if partition else []
    windows += [(until - span, until)] if span else []
    keys: list[dict[str, Any]] = []
    for start, end in [*windows, (None, until)]:
        keys = keys or served.sample_keys(store, view, start, end, count, _seed(partition))
    rows = served.read_online(store, view, keys, until)
    differences = comparison.compare(store, view, rows, known_at_the_time=False)
    if differences:  # Once more: a partition may have been replaced between the two reads.
        suspects = {tuple(difference.key.items()): dict(difference.key) for difference in differences}
        again = served.read_online(store, view, list(suspects.values()), until)
        differences = comparison.compare(store, view, again, known_at_the_time=False)
    newest = max((row.time for row in rows if row.time), default=None)
    return ViewConsistency(
        view=view.name,
        keys=len(keys),
        until=until,
        newest=newest,
        freshness=freshness,
        stale=bool(now and freshness and (newest is None or now - newest > freshness)),
        differences=tuple(differences),
    )


def _freshness(view: FeatureView) -> timedelta | None:
    """How far behind the end of what is online a view's newest values may be.

    Raises:
        BadFeatures: its tag is no duration.
    """
    from pydantic import TypeAdapter, ValidationError

    tag = view.tags.get(FRESHNESS)
    try:
        return TypeAdapter(timedelta).validate_python(tag) if tag else view.ttl or None
    except ValidationError as error:
        raise BadFeatures(
            f"Feature view {view.name!r} has the tag {FRESHNESS}={tag!r}, which is no duration.",
            "Write it in feature_repo/ as ISO 8601, for instance PT36H or P2D.",
        ) from error


def _seed(partition: Partition | None) -> int:
    """Another partition, another sample: over time all entities are compared."""
    name = partition.key if partition else ""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest())


def _predictions(use_case: UseCase, partition: Partition, count: int, *, may_be_none: bool) -> pa.Table:
    """A partition's first `count` predictions by the hash of their key."""
    import polars as pl

    # What was served was not made from the lake.
    where = lake.is_known("lake_snapshots")
    rows = lake.read(use_case.tables.predictions, partitions=[partition.key], where=where)
    if rows is None or not rows.num_rows:
        if may_be_none:
            return pa.table({"lake_snapshots": pa.array([], pa.string())})
        raise BadFeatures(
            f"Use case {use_case.name!r}: the lake holds no predictions of partition {partition.key!r}.",
            f"Run {dag_id(use_case.name, SCORING)} for it first; there must have been a champion when it began.",
        )
    key = pl.DataFrame(rows.select(list(use_case.examples.key)))
    return rows.take(key.hash_rows(_seed(partition)).arg_sort()[:count].to_arrow())


def _existing(use_case: UseCase, partition: Partition, snapshots: dict[str, int]) -> dict[str, int]:
    """`snapshots`, checked to be in the lake still.

    Raises:
        BadFeatures: one is gone.
    """
    for name, snapshot in snapshots.items():
        table = lake.table(name)
        if table is None or table.snapshot_by_id(snapshot) is None:
            raise BadFeatures(
                f"Use case {use_case.name!r}, partition {partition.key!r}: its predictions were made from snapshot"
                f" {snapshot} of lake table {name!r}, which is gone.",
                "Without it what was known then cannot be proven; expire snapshots later than predictions are audited.",
            )
    return snapshots


def _features_then(view: FeatureView, snapshots: dict[str, int]) -> list[str]:
    """The features that a view's table had in its snapshot: what has been added since was not asked for then."""
    from perennial.feature_store.source import stored_name
    from perennial.feature_store.storage.scan import lake_source

    source = lake_source(view.batch_source, f"Feature view {view.name!r}")
    table = lake.table(source.table) if source.table in snapshots else None
    snapshot = table.snapshot_by_id(snapshots[source.table]) if table is not None else None
    if table is None or snapshot is None:
        return []
    schema = table.schemas()[snapshot.schema_id] if snapshot.schema_id is not None else table.schema()
    return [each.name for each in view.features if stored_name(source, each.name) in schema.column_names]


def _record(use_case: UseCase, partition: Partition, report: ConsistencyReport) -> None:
    """Append what changed: a view whose latest record is equal already gets no other."""
    recorded_at = datetime.now(UTC)
    rows = [
        {
            "partition": partition.key,
            "view": view.view,
            "keys": view.keys,
            "differences": len(view.differences),
            "until": view.until,
            "newest": view.newest,
            "stale": view.stale,
            "evidence": json.dumps([plain(asdict(difference)) for difference in view.differences[:SHOWN]]),
            "recorded_at": recorded_at,
        }
        for view in report.views
    ]
    if rows:
        lake.append_changed(use_case.tables.parity, pa.Table.from_pylist(rows, schema=PARITY), per=("view",))
