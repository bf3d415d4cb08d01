"""What of a raw batch enters the lake: judged, with what people decided about quarantined rows and batches."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import pyarrow as pa

from perennial import quarantine, validation
from perennial.errors import BadBatch
from perennial.partitions import Partition
from perennial.quarantine import Decision, readmission
from perennial.quarantine.readmission import Returned
from perennial.use_case import RawTable, UseCase
from perennial.validation import RejectedBatch, SplitBatch, SuiteResult

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Admitted:
    """A batch that may enter.

    Attributes:
        parted: What enters, released rows included, and what is refused of it.
        released: How many rows were released.
        settle: Records what entering means for earlier decisions; called once the rows are in the lake.
    """

    parted: SplitBatch
    released: int
    settle: Callable[[], None]


@dataclass
class Admission:
    """Judges the batches of one partition, under its lock.

    Attributes:
        use_case, partition: Whose they are.
        judged: Table -> number of rows and judgement, of what entered, or else of what arrived.
        refusals: Why batches were refused; each of them is in quarantine.
    """

    use_case: UseCase
    partition: Partition
    judged: dict[str, tuple[int, SuiteResult]] = field(default_factory=dict)
    refusals: list[BadBatch] = field(default_factory=list)

    def admit(self, table: RawTable, arrived: pa.Table | BadBatch) -> Admitted | None:
        """What enters of table `table`; None, with the reason in `refusals`, if its batch is refused.

        Where nothing fit has arrived, a batch that a person released stands in for it.

        Args:
            table: The raw table.
            arrived: Its batch, or why it could not be fetched.
        """
        try:
            if isinstance(arrived, BadBatch):
                raise arrived
            return self._judge(table, arrived, None)
        except BadBatch as refusal:
            for decision in self._released(table, of_batches=True):
                try:
                    admitted = self._judge(table, quarantine.content(self.use_case, decision.content), decision)
                except RejectedBatch as error:
                    log.warning("A released batch does not enter: %s", error.problem)
                else:
                    log.warning("%s. The batch released by %s enters in its place", refusal.problem, decision.actor)
                    return admitted
            self.refusals.append(refusal)
            return None

    def _judge(self, table: RawTable, rows: pa.Table, decision: Decision | None) -> Admitted:
        """Judge a batch.

        Raises:
            RejectedBatch: it is refused, and kept.
        """
        parted = validation.split_batch(self.use_case, table, rows, self.partition)
        if decision is None or table.name not in self.judged:
            self.judged[table.name] = (rows.num_rows, parted.result)
        accepted = decision.accepted if decision else frozenset()
        fits = Returned(parted)
        try:
            if not parted.result.missing_columns:
                released = self._released(table, of_batches=False)
                fits = readmission.bring_back(self.use_case, table, self.partition, parted, released)
            validation.check_batch(self.use_case, table, fits.parted, self.partition, accepted)
            readmission.insist_on_types(self.use_case, table, fits.parted.clean, self.partition)
        except RejectedBatch as error:
            if decision is None:
                kept = quarantine.keep_batch(
                    self.use_case, table, self.partition, rows, error.broken, parted.result.suite
                )
                raise RejectedBatch(f"{error.problem} It is kept as {kept}.", error.fix, error.broken) from error
            raise
        self.judged[table.name] = (rows.num_rows, parted.result)
        return Admitted(fits.parted, fits.released, lambda: self._settle(table, fits, decision))

    def _released(self, table: RawTable, *, of_batches: bool) -> list[Decision]:
        """Decisions to release rows, or batches, of a table; newest first."""
        found = [
            decision
            for decision in self._decisions.values()
            if decision.table == table.name
            and decision.action == "released"
            and (decision.position is None) is of_batches
        ]
        return sorted(found, key=lambda decision: decision.recorded_at, reverse=True)

    @cached_property
    def _decisions(self) -> dict[tuple[str, str, str], Decision]:
        """What holds while this admission does: nobody decides meanwhile."""
        return quarantine.decisions(self.use_case, self.partition)

    def _settle(self, table: RawTable, fits: Returned, entered: Decision | None) -> None:
        # Where a released batch stands in, what arrived still waits for a decision.
        if entered is None:
            quarantine.supersede(self.use_case, table, self.partition)
        readmission.settle(self.use_case, self.partition, fits)
