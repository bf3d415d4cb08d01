"""Online equals offline: what is served, held against the lake, value for value and time for time.

`check` reads sampled entities online and asks the offline store for the same moment; `check_logged` does so with the
features that scoring kept. Neither asks a clock: the moment is the end of what was materialized, or of the prediction.

A view promises how far behind that end its newest values may be: by its tag `freshness` (ISO 8601, `PT36H`), else by
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
from perennial.errors import BadFeatures
from perennial.feature_store.parity.report import FRESHNESS, SHOWN, Parity, ViewParity, insist, plain
from perennial.lake.schemas import PARITY
from perennial.partitions import Partition
from perennial.use_case import UseCase

if TYPE_CHECKING:
    from feast import FeatureView

    from perennial.feature_store.parity.served import Difference

#: Sampled entities of each view; at a hundred, a fault in one of twenty is missed once in two hundred checks.
KEYS = 100

#: Told the view that comes next, how many of all views are done, and how many there are.
Step = Callable[[str, int, int], None]


def check(
    use_case: UseCase,
    partition: Partition | None = None,
    keys: int = KEYS,
    step: Step = lambda view, done, count: None,
) -> Parity:
    """Compare the online rows of up to `keys` entities a view with what the offline store gives for the same moment.

    Another partition may be materialized meanwhile: rows that are newer by then are compared at their own time.

    Args:
        use_case: Whose feature service.
        partition: Sample the entities that have a row in it; the same partition gives the same sample. Freshness is
            judged if nothing later is online. None: sample the entities that the offline store still sees.
        keys: How many entities of each view, at least 1.
        step: Told how far it is.

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
            f"Run {use_case.name}.features for {use_case.start} first.",
        )
    judged = partition is None or partition.end >= now
    checked = []
    for number, (name, view) in enumerate(views.items()):
        step(name, number, len(views))
        checked.append(_check_view(view, ends[name], now if judged else None, partition, keys))
    return Parity(use_case.name, partition.key if partition else None, tuple(checked))


def check_logged(
    use_case: UseCase, partition: Partition, keys: int = KEYS, step: Step = lambda view, done, count: None
) -> Parity:
    """Compare the features kept with up to `keys` predictions of a partition with the offline store of that time: at
    each prediction's moment, in the lake's snapshots that scoring read.

    What the lake holds otherwise by now, because a partition was corrected since, is counted apart as `corrected`.

    Raises:
        BadFeatures: the partition has no predictions, or a snapshot they were made from is gone.
    """
    with fast_imports():
        from perennial.feature_store import repository
        from perennial.feature_store.parity import served

    views = repository.feature_views(use_case.feature_service)
    rows = _predictions(use_case, partition, keys)
    differences: dict[str, list[Difference]] = {name: [] for name in views}
    corrected = dict.fromkeys(views, 0)
    today = repository.open_store(keep_event_timestamps=True)
    done, every = 0, rows["lake_snapshots"].unique().to_pylist()
    for snapshots in every:
        kept = rows.filter(pc.equal(rows["lake_snapshots"], snapshots))
        pinned = _existing(use_case, partition, json.loads(snapshots))
        that_time = repository.open_store(keep_event_timestamps=True, snapshots=pinned)
        for name, view in views.items():
            step(name, done, len(every) * len(views))
            done += 1
            logged = served.logged(view, kept)
            then, now = (
                served.compare(store, view, logged, only_known=True, with_times=False) for store in (that_time, today)
            )
            differences[name] += then
            corrected[name] += len([found for found in now if found not in then])
    result = [
        ViewParity(name, rows.num_rows, corrected=corrected[name], differences=tuple(found))
        for name, found in differences.items()
    ]
    return Parity(use_case.name, partition.key, tuple(result), logged=True)


def prove(use_case: UseCase, partition: Partition) -> dict[str, int]:
    """Check a partition that was just published and append the result to the lake's table `parity`.

    Returns:
        The number of views and of entities compared.

    Raises:
        ParityBroken: the online store serves something else than the lake holds, or a view breaks its promise.
    """
    found = check(use_case, partition)
    _record(use_case, partition, found)
    insist(use_case, found)
    return {"views": len(found.views), "keys": sum(view.keys for view in found.views)}


def _check_view(
    view: FeatureView, until: datetime | None, now: datetime | None, partition: Partition | None, count: int
) -> ViewParity:
    with fast_imports():
        from perennial.feature_store import repository
        from perennial.feature_store.parity import served

    promise = _promise(view)
    if until is None:
        return ViewParity(view.name, 0, promise=promise, stale=True)
    store = repository.open_store(keep_event_timestamps=True)
    span = max(filter(None, (view.ttl, promise)), default=None)
    # Of the partition; of none, or one without rows of this view: what the offline store still sees; of a view without
    # that: whatever there is.
    windows = [(partition.start, partition.end)] if partition else []
    windows += [(until - span, until)] if span else []
    keys: list[dict[str, Any]] = []
    for start, end in [*windows, (None, until)]:
        keys = keys or served.sample_keys(store, view, start, end, count, _seed(partition))
    rows = served.online(store, view, keys, until)
    found = served.compare(store, view, rows, only_known=False)
    if found:  # Once more: a partition may have been replaced between the two reads.
        again = {tuple(one.key.items()): dict(one.key) for one in found}
        rows_again = served.online(store, view, list(again.values()), until)
        found = served.compare(store, view, rows_again, only_known=False)
    newest = max((row.time for row in rows if row.time), default=None)
    return ViewParity(
        view=view.name,
        keys=len(keys),
        until=until,
        newest=newest,
        promise=promise,
        stale=bool(now and promise and (newest is None or now - newest > promise)),
        differences=tuple(found),
    )


def _promise(view: FeatureView) -> timedelta | None:
    """How far behind the end of what is online a view's newest values may be.

    Raises:
        BadFeatures: its tag is no span of time.
    """
    from pydantic import TypeAdapter, ValidationError

    tag = view.tags.get(FRESHNESS)
    try:
        return TypeAdapter(timedelta).validate_python(tag) if tag else view.ttl or None
    except ValidationError as error:
        raise BadFeatures(
            f"Feature view {view.name!r} has the tag {FRESHNESS}={tag!r}, which is no span of time.",
            "Write it in feature_repo/ as ISO 8601, for instance PT36H or P2D.",
        ) from error


def _seed(partition: Partition | None) -> int:
    """Another partition, another sample: over time all entities are compared."""
    name = partition.key if partition else ""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest())


def _predictions(use_case: UseCase, partition: Partition, count: int) -> pa.Table:
    """A partition's first `count` predictions by the hash of their key."""
    import polars as pl

    rows = lake.read(use_case.tables.predictions, partitions=[partition.key])
    if rows is None or not rows.num_rows:
        raise BadFeatures(
            f"Use case {use_case.name!r}: the lake holds no predictions of partition {partition.key!r}.",
            f"Run {use_case.name}.scoring for it first, once a champion held when it began.",
        )
    key = pl.DataFrame(rows.select(list(use_case.examples.key)))
    return rows.take(key.hash_rows(_seed(partition)).arg_sort()[:count].to_arrow())


def _existing(use_case: UseCase, partition: Partition, snapshots: dict[str, int]) -> dict[str, int]:
    """`snapshots`, once it is sure that the lake still has them."""
    for name, wanted in snapshots.items():
        table = lake.table(name)
        if table is None or table.snapshot_by_id(wanted) is None:
            raise BadFeatures(
                f"Use case {use_case.name!r}, partition {partition.key!r}: its predictions were made from snapshot"
                f" {wanted} of lake table {name!r}, which is gone.",
                "Without it what was known then cannot be proven; expire snapshots later than predictions are audited.",
            )
    return snapshots


def _record(use_case: UseCase, partition: Partition, found: Parity) -> None:
    """Append what is news: a view whose newest record says the same already gets no other."""
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
            "evidence": json.dumps([plain(asdict(one)) for one in view.differences[:SHOWN]]),
            "recorded_at": recorded_at,
        }
        for view in found.views
    ]
    if rows:
        lake.append_changed(use_case.tables.parity, pa.Table.from_pylist(rows, schema=PARITY), per=("view",))
