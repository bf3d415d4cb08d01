"""Fetches a partition's raw batches, writes their clean rows to the lake and quarantines the others."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from perennial import lake, quarantine, validation
from perennial.batches import Batch, collecting
from perennial.errors import BadBatch, PerennialError
from perennial.ingestion import places
from perennial.ingestion.admission import Admission, AdmittedBatch
from perennial.lake.schemas import BATCHES
from perennial.partitions import Partition
from perennial.registry import provenance
from perennial.use_case import RawTable, UseCase
from perennial.validation import results

log = logging.getLogger(__name__)


def ingest_partition(
    use_case: UseCase, partition: Partition, refetch: bool = True, sources: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Fetch and validate every raw table of the partition; write clean and quarantined rows to the lake.

    Nothing is written to a raw table before every one has been validated, so a bad batch leaves the lake as it was.
    What fails is kept in quarantine, and what a person released from there enters with the batch.

    Args:
        use_case: The use case.
        partition: The partition to load.
        refetch: Whether to do so where the lake has a batch of every raw table already; if not, nothing is done then.
        sources: Variables that name places of sources -> places, as the run names them: see `sources.places`.

    Returns:
        `rows` loaded, rows `quarantined`, rows `released` among those loaded; `read`: by raw table, what became of the
        records of its files (`total` is `rows` + `unreadable` + `elsewhere`); and `report`: the address of the page
        that shows the results of validation.

    Raises:
        BadBatch: the run names another place than the workers may read; or a batch cannot be fetched or is rejected as
            a whole: the error names the page and the item in quarantine.
    """
    if not refetch and (loaded := _loaded(use_case, partition)) is not None:
        log.info("%s %s: all raw tables are loaded, nothing was fetched", use_case.name, partition)
        return loaded
    admission = Admission(use_case, partition)
    fetched: dict[str, Batch | BadBatch] = {}
    with places.use_places(use_case, sources or {}):
        for table in use_case.raw:
            try:
                fetched[table.name] = fetch(use_case, table, partition)
            except BadBatch as error:
                fetched[table.name] = error
    # People decide under the same lock: each decision is seen by this run or by the one that it starts.
    with quarantine.lock(use_case, partition), ExitStack() as stack:
        arrived = {name: _of_this_partition(use_case, partition, name, each, stack) for name, each in fetched.items()}
        admitted = {table.name: admission.admit(table, arrived[table.name]) for table in use_case.raw}
        report = results.record(use_case, partition, admission.validated)
        if admission.rejections:
            raise _combined(admission.rejections, report)
        counts = _write(use_case, partition, {name: each for name, each in admitted.items() if each is not None})
    log.info("%s %s: %d rows loaded, %d quarantined, %d released", use_case.name, partition, *counts.values())
    read = {name: each.summary() for name, each in arrived.items() if isinstance(each, Batch) and each.files}
    for name, summary in read.items():
        log.info("%s %s, raw table %s: %s", use_case.name, partition, name, summary)
    return {**counts, "read": read, "report": report}


def _of_this_partition(
    use_case: UseCase, partition: Partition, table: str, batch: Batch | BadBatch, stack: ExitStack
) -> Batch | BadBatch:
    """The batch without the unreadable records of no partition that another one keeps already.

    Where there are such records they are locked until the stack is closed.
    """
    if isinstance(batch, BadBatch) or all(batch.unreadable["is_placed"].to_pylist()):
        return batch
    stack.enter_context(quarantine.lock_unplaced(use_case, table))
    elsewhere = quarantine.unreadable_elsewhere(use_case, use_case.raw_table(table), partition, batch.unreadable)
    return batch.without(elsewhere)


def _loaded(use_case: UseCase, partition: Partition) -> dict[str, Any] | None:
    """The counts of the partition's batches in the lake; None if it lacks one of a raw table."""
    rows = lake.records(use_case.tables.batches, between=(partition.key, partition.key))
    if {table.name for table in use_case.raw} - {row["table"] for row in rows}:
        return None
    return {name: sum(row[name] for row in rows) for name in ("rows", "quarantined", "released")}


def _write(use_case: UseCase, partition: Partition, admitted: Mapping[str, AdmittedBatch]) -> dict[str, int]:
    """Write quarantined rows, then clean ones: a run may be killed in between, and its source no longer send them."""
    refusals = {
        name: quarantine.store_rows(
            use_case,
            use_case.raw_table(name),
            partition,
            each.batch.quarantined,
            each.batch.reasons,
            each.batch.result.suite,
            each.batch.unreadable,
        )
        for name, each in admitted.items()
    }
    for name, each in admitted.items():
        table = use_case.raw_table(name)
        lake.replace(use_case.tables[name], partition.key, each.batch.clean, sort_by=table.key)
        each.record_outcome()
    batches = pa.table(
        {
            "partition": [partition.key] * len(admitted),
            "table": list(admitted),
            "rows": [each.batch.clean.num_rows for each in admitted.values()],
            "quarantined": [each.batch.num_quarantined for each in admitted.values()],
            "released": [each.released for each in admitted.values()],
            "suite": [each.batch.result.suite for each in admitted.values()],
            "refusal": list(refusals.values()),
            "code_version": [provenance.code_version()] * len(admitted),
        },
        schema=BATCHES,
    )
    lake.replace(use_case.tables.batches, partition.key, batches, sort_by=("table",))
    return {name: pc.sum(batches[name]).as_py() for name in ("rows", "quarantined", "released")}


def _combined(rejections: Sequence[BadBatch], report: str) -> BadBatch:
    """One error for the rejected batches of all tables."""
    problem = "\n".join(error.problem for error in rejections)
    return type(rejections[0])(f"{problem}\nThe result of each expectation: {report}", rejections[0].fix)


def fetch(use_case: UseCase, table: RawTable, partition: Partition) -> Batch:
    """A raw batch as the use case's `source.py` returns it, in the lake's types, with what it could not read.

    Args:
        use_case: The use case.
        table: The raw table; the function in `source.py` has its name.
        partition: The partition to fetch.

    Raises:
        BadBatch: the function does not exist, raises, or returns something else than a `pyarrow.Table` of types that
            the lake has.
    """
    batch = validation.batch_name(use_case, table, partition)
    source = f"include/use_cases/{use_case.name}/source.py"
    function = getattr(use_case.module("source"), table.name, None)
    if function is None:
        raise BadBatch(f"{source} has no function {table.name}(partition).", "Write one that returns a pyarrow.Table.")
    try:
        with collecting() as collected:
            rows = function(partition)
    except PerennialError as error:
        raise type(error)(f"{batch}: {error.problem}", error.fix) from error
    except Exception as error:
        raise BadBatch(
            f"{batch}: {table.name}() in {source} raised {type(error).__name__}: {error}",
            "If the source is only out of reach for now, clear the task; otherwise fix source.py.",
        ) from error
    if not isinstance(rows, pa.Table):
        raise BadBatch(
            f"{batch}: {table.name}() in {source} returned {type(rows).__name__}.", "Return a pyarrow.Table."
        )
    try:
        return collected.with_rows(lake.canonical(rows))
    except pa.ArrowInvalid as error:
        raise BadBatch(
            f"{batch}: {table.name}() in {source} returned values that the lake cannot hold exactly: {error}",
            "The lake's times have microseconds: round them in source.py.",
        ) from error
