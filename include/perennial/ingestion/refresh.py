"""Refreshes the features of the partition under way: fetches, computes and publishes what is new of it.

Nothing here makes a partition complete: no examples, no batch and no computation is recorded, so nobody scores it,
trains on it or shows it as finished, and the run at its end replaces it as if there had been no refresh.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from perennial import lake, pushing, quarantine, validation
from perennial.ingestion import compute, places
from perennial.ingestion.ingest import fetch
from perennial.lake.schemas import REFRESHES
from perennial.partitions import Partition
from perennial.use_case import FeatureTable, RawTable, Refresh, UseCase
from perennial.validation import contracts

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Refreshed:
    """Rows of a table that a refresh fetched or computed, and how many raw rows it left out."""

    part: Partition
    rows: pa.Table
    left_out: int = 0


def refresh_features(
    use_case: UseCase, until: datetime, sources: Mapping[str, str] | None = None
) -> dict[str, Any] | None:
    """Bring the partition under way to the lake and the online store, up to a moment.

    If the partition before it was refreshed, and has ended without the run that completes it, its rest comes first. A
    killed refresh is made up for by the next one; two at once, and one beside the run at the end, exclude each other.

    Args:
        use_case: One with `refresh`.
        until: Rows are fetched and computed until then (event time, exclusive, UTC).
        sources: Variables that name places of sources -> places, as the run names them: see `sources.places`.

    Returns:
        `partition`, `since` and `until` of what was fetched again, `new` rows by table, raw rows `left_out`, and
        entities written `online` by view; None if there was nothing to do, which the log explains.

    Raises:
        BadBatch: a batch cannot be fetched or lacks a column.
        BadFeatures: a transform fails, or breaks its contract or an expectation on rows.
        ChangeRefused: as `publish.publish_features` does.
    """
    assert use_case.refresh is not None, "the DAG exists only with it"  # noqa: S101
    current = use_case.cadence.at(until)
    if not use_case.has_partition(current) or until == current.start:
        log.info("%s: no partition is under way at %s", use_case.name, until)
        return None
    with places.use_places(use_case, sources or {}):
        if current > use_case.first and _last(use_case, current.previous) is not None:
            _refresh(use_case, use_case.refresh, current.previous, current.start)
        return _refresh(use_case, use_case.refresh, current, until)


def _last(use_case: UseCase, partition: Partition) -> tuple[datetime, dict[str, int | None]] | None:
    """Until when the last complete refresh of a partition came, and the snapshots it left; None: there was none."""
    rows = lake.records(use_case.tables.refreshes, between=(partition.key, partition.key))
    return (rows[0]["until"], {row["table"]: row["snapshot"] for row in rows}) if rows else None


def _refresh(use_case: UseCase, policy: Refresh, partition: Partition, until: datetime) -> dict[str, Any] | None:
    """Refresh one partition; None if that is done already, or the partition is complete."""
    last = _last(use_case, partition)
    part = policy.part(partition, last[0] if last else None, until)
    raw = {table.name: _fetch(use_case, table, part) for table in use_case.raw}
    # The lock of ingestion: its run at the end finds either nothing of this, or all of it.
    with quarantine.lock(use_case, partition):
        if lake.records(use_case.tables.batches, between=(partition.key, partition.key)):
            log.info("%s %s: the partition is complete, nothing is refreshed", use_case.name, partition)
            return None
        latest = _last(use_case, partition)
        if latest is not None and latest[0] >= until:
            log.info("%s %s: refreshed until %s already", use_case.name, partition, latest[0])
            return None
        if latest == last:
            return _bring(use_case, part, raw, last[1] if last else {})
    return _refresh(use_case, policy, partition, until)


def _fetch(use_case: UseCase, table: RawTable, part: Partition) -> _Refreshed:
    """The valid rows of a part of a raw table; of a table without event time, all.

    Raises:
        BadBatch: they cannot be fetched, or a column is missing.
    """
    part = part if table.time else part.opened(part.start, part.until)
    batch = fetch(use_case, table, part)
    rows = batch.rows
    if table.time in rows.column_names:
        time = rows[table.time]
        rows = rows.filter(pc.and_(pc.greater_equal(time, pa.scalar(part.since)), pc.less(time, pa.scalar(part.until))))
    split = validation.split_batch(use_case, table, rows, part)
    validation.check_open_batch(use_case, table, split, part)
    return _Refreshed(part, split.clean, split.quarantined.num_rows + batch.unreadable.num_rows)


def _bring(
    use_case: UseCase, part: Partition, raw: Mapping[str, _Refreshed], snapshots: Mapping[str, int | None]
) -> dict[str, Any]:
    """Write the raw rows, compute the features, write and publish them, and record that; all under the lock."""
    from perennial.feature_changes import applying
    from perennial.feature_store import publication_records, repository

    for name, each in raw.items():
        lake.check_schema(use_case.tables[name], each.rows)
    written = {table.name: _write(use_case, table, raw[table.name]) for table in use_case.raw}
    computed = dict(_compute(use_case, part))
    written |= {table.name: _write(use_case, table, computed[table.name]) for table in use_case.features}
    applying.apply_safely(use_case)
    # What the refresh before left there is online; otherwise one was killed in between, or somebody else wrote.
    changed = {
        use_case.tables[name]: written[name].new if snapshots.get(name, -1) == written[name].before else None
        for name in computed
    }
    since = min(each.part.since for each in computed.values())
    online = repository.bring_online(use_case.feature_service, since, part.until, changed)
    publication_records.record(use_case, part, part.until, online)
    _record(use_case, part, {**raw, **computed}, written)
    new = {name: each.new.num_rows for name, each in written.items()}
    log.info("%s %s until %s: new %s, online %s", use_case.name, part, part.until, new, online)
    return {
        "partition": part.key,
        "since": part.since.isoformat(),
        "until": part.until.isoformat(),
        "new": new,
        "left_out": sum(each.left_out for each in raw.values()),
        "online": online,
    }


def _compute(use_case: UseCase, part: Partition) -> Iterator[tuple[str, _Refreshed]]:
    """Each feature table's rows of the part, validated; nothing is written.

    A table with an input that has no event time is computed from the partition's start: its rows may all have changed.
    """
    whole = part.opened(part.start, part.until)
    parts = {
        table.name: part if all(use_case.raw_table(name).time for name in table.inputs) else whole
        for table in use_case.features
    }
    needs = [(table.inputs, parts[table.name].since - table.lookback) for table in use_case.features]
    raw = compute.read_inputs(use_case, part, needs)
    for table in use_case.features:
        rows = compute.compute_table(use_case, table, raw, parts[table.name])
        validation.check_open_table(use_case, table.name, rows, parts[table.name])
        contracts.check_types(use_case, table.name, rows, part)
        yield table.name, _Refreshed(parts[table.name], rows)


def _write(use_case: UseCase, table: RawTable | FeatureTable, refreshed: _Refreshed) -> lake.OpenPart:
    part = refreshed.part
    time = table.time if isinstance(table, RawTable) else "event_timestamp"
    key = table.key if isinstance(table, RawTable) else (*table.key, "event_timestamp")
    since = (time, part.since) if time and part.since > part.start else None
    identifier = use_case.tables[table.name]
    if isinstance(table, RawTable):
        return lake.replace_open(identifier, part.key, refreshed.rows, since=since, sort_by=key)
    with pushing.beside_pushed(use_case, table, refreshed.rows, part) as rows:
        return lake.replace_open(identifier, part.key, rows, since=since, sort_by=key)


def _record(
    use_case: UseCase, part: Partition, refreshed: Mapping[str, _Refreshed], written: Mapping[str, lake.OpenPart]
) -> None:
    """Record what is in the lake and online now: the last step, without which a refresh is not complete."""
    now = datetime.now(UTC)
    records = [
        {
            lake.PARTITION: part.key,
            "table": name,
            "since": each.part.since,
            "until": part.until,
            "rows": each.rows.num_rows,
            "new": written[name].new.num_rows,
            "left_out": each.left_out,
            "snapshot": written[name].after,
            lake.RECORDED_AT: now,
        }
        for name, each in refreshed.items()
    ]
    content = pa.Table.from_pylist(records, schema=REFRESHES)
    lake.replace_open(use_case.tables.refreshes, part.key, content, sort_by=("table",))
