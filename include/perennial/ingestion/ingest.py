"""From a raw batch to clean rows in the lake, feature tables and the online store, one partition at a time."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from perennial import lake, quarantine, validation
from perennial.errors import BadBatch, PerennialError
from perennial.ingestion.admission import Admission, Admitted
from perennial.lake.schemas import BATCHES
from perennial.partitions import Partition
from perennial.registry import provenance
from perennial.use_case import RawTable, UseCase
from perennial.validation import results

log = logging.getLogger(__name__)


def ingest_partition(use_case: UseCase, partition: Partition, refetch: bool = True) -> dict[str, Any]:
    """Fetch and judge every raw table of the partition; write clean and quarantined rows to the lake.

    Nothing is written to a raw table before every one has been judged, so a bad batch leaves the lake as it was. What
    is refused is kept in quarantine, and what a person released from there enters with the batch.

    Args:
        refetch: Whether to do so where the lake holds a batch of every raw table already; if not, nothing is done then.

    Returns:
        `rows` ingested, rows `quarantined`, rows `released` among those ingested, and `report`: the address of the page
        that shows what the suites said.

    Raises:
        BadBatch: a batch cannot be fetched or is unfit as a whole; the error names the page and what it is kept as.
    """
    if not refetch and (held := _held(use_case, partition)) is not None:
        log.info("%s %s: all raw tables are held, nothing was fetched", use_case.name, partition)
        return held
    admission = Admission(use_case, partition)
    fetched: dict[str, pa.Table | BadBatch] = {}
    for table in use_case.raw:
        try:
            fetched[table.name] = fetch(use_case, table, partition)
        except BadBatch as error:
            fetched[table.name] = error
    # Decisions of people are taken under the same lock: each is seen by this run or by the one that it starts.
    with quarantine.lock(use_case, partition):
        admitted = {table.name: admission.admit(table, fetched[table.name]) for table in use_case.raw}
        report = results.record(use_case, partition, admission.judged)
        if admission.refusals:
            raise _together(admission.refusals, report)
        counts = _write(use_case, partition, {name: each for name, each in admitted.items() if each is not None})
    log.info("%s %s: %d rows ingested, %d quarantined, %d released", use_case.name, partition, *counts.values())
    return {**counts, "report": report}


def _held(use_case: UseCase, partition: Partition) -> dict[str, Any] | None:
    """What the lake's batches of the partition count, if it holds one of every raw table; None: it lacks one."""
    rows = lake.records(use_case.tables.batches, between=(partition.key, partition.key))
    if {table.name for table in use_case.raw} - {row["table"] for row in rows}:
        return None
    return {name: sum(row[name] for row in rows) for name in ("rows", "quarantined", "released")}


def _write(use_case: UseCase, partition: Partition, admitted: Mapping[str, Admitted]) -> dict[str, int]:
    """Write what was admitted, and before it what was refused: a run may be killed, and its source forget."""
    refusals = {
        name: quarantine.keep_rows(
            use_case,
            use_case.raw_table(name),
            partition,
            each.parted.quarantined,
            each.parted.reasons,
            each.parted.result.suite,
        )
        for name, each in admitted.items()
    }
    for name, each in admitted.items():
        table = use_case.raw_table(name)
        lake.replace(use_case.tables[name], partition.key, each.parted.clean, sort_by=table.key)
        each.settle()
    batches = pa.table(
        {
            "partition": [partition.key] * len(admitted),
            "table": list(admitted),
            "rows": [each.parted.clean.num_rows for each in admitted.values()],
            "quarantined": [each.parted.quarantined.num_rows for each in admitted.values()],
            "released": [each.released for each in admitted.values()],
            "suite": [each.parted.result.suite for each in admitted.values()],
            "refusal": list(refusals.values()),
            "code_version": [provenance.code_version()] * len(admitted),
        },
        schema=BATCHES,
    )
    lake.replace(use_case.tables.batches, partition.key, batches, sort_by=("table",))
    return {name: pc.sum(batches[name]).as_py() for name in ("rows", "quarantined", "released")}


def _together(refusals: Sequence[BadBatch], report: str) -> BadBatch:
    """One error of all tables' refusals."""
    problem = "\n".join(error.problem for error in refusals)
    return type(refusals[0])(f"{problem}\nWhat each expectation found: {report}", refusals[0].fix)


def fetch(use_case: UseCase, table: RawTable, partition: Partition) -> pa.Table:
    """The raw batch as the use case's `source.py` gives it.

    Raises:
        BadBatch: the function is missing, raises, or returns something else than a `pyarrow.Table` of types that the
            lake holds.
    """
    place = validation.batch_name(use_case, table, partition)
    where = f"include/use_cases/{use_case.name}/source.py"
    function = getattr(use_case.module("source"), table.name, None)
    if function is None:
        raise BadBatch(f"{where} has no function {table.name}(partition).", "Write one that returns a pyarrow.Table.")
    try:
        rows = function(partition)
    except PerennialError as error:
        raise type(error)(f"{place}: {error.problem}", error.fix) from error
    except Exception as error:
        raise BadBatch(
            f"{place}: {table.name}() in {where} raised {type(error).__name__}: {error}",
            "If the source is only out of reach for now, clear the task; otherwise mend source.py.",
        ) from error
    if not isinstance(rows, pa.Table):
        raise BadBatch(f"{place}: {table.name}() in {where} returned {type(rows).__name__}.", "Return a pyarrow.Table.")
    try:
        return lake.canonical(rows)
    except pa.ArrowInvalid as error:
        raise BadBatch(
            f"{place}: {table.name}() in {where} returned values that the lake cannot hold exactly: {error}",
            "Moments are held to the microsecond: round them in source.py.",
        ) from error
