"""Decides what of a raw batch enters the lake: its clean rows, and what people released from quarantine."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property

import pyarrow as pa

from perennial import quarantine, validation
from perennial.batches import Batch, packed, unpacked
from perennial.errors import BadBatch
from perennial.partitions import Partition
from perennial.quarantine import ReviewAction, ReviewDecision, readmission
from perennial.quarantine.readmission import Readmitted
from perennial.use_case import RawTable, UseCase
from perennial.validation import RejectedBatch, SplitBatch, SuiteResult

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class AdmittedBatch:
    """A batch that may enter.

    Attributes:
        batch: The rows that enter, released ones included, and those that go to quarantine.
        released: How many rows were released.
        record_outcome: Records what this means for earlier decisions; called once the rows are in the lake.
    """

    batch: SplitBatch
    released: int
    record_outcome: Callable[[], None]


@dataclass
class Admission:
    """Validates the batches of one partition, under its lock.

    Attributes:
        use_case: The use case.
        partition: The partition of the batches.
        validated: Raw table -> number of rows and result, of the batch that entered or else of the one that arrived.
        rejections: Why batches were rejected; each of them is in quarantine.
    """

    use_case: UseCase
    partition: Partition
    validated: dict[str, tuple[int, SuiteResult]] = field(default_factory=dict)
    rejections: list[BadBatch] = field(default_factory=list)

    def admit(self, table: RawTable, arrived: Batch | BadBatch) -> AdmittedBatch | None:
        """What enters of a raw table; None, with the reason in `rejections`, if its batch is rejected.

        Where no valid batch has arrived, one that a person released enters in its place.

        Args:
            table: The raw table.
            arrived: Its batch, or why it could not be fetched.
        """
        if isinstance(arrived, BadBatch):
            return self._released_instead(table, arrived)
        try:
            return self._validate(table, arrived.rows, arrived.unreadable, None)
        except BadBatch as rejection:
            return self._released_instead(table, rejection)

    def _released_instead(self, table: RawTable, rejection: BadBatch) -> AdmittedBatch | None:
        """The newest released batch that passes; None, with `rejection` recorded, if there is none."""
        for decision in self._released(table, batches=True):
            try:
                content = unpacked(quarantine.content(self.use_case, decision.content))
                admitted = self._validate(table, *content, decision)
            except RejectedBatch as error:
                log.warning("A released batch does not enter: %s", error.problem)
            else:
                log.warning("%s The batch released by %s enters in its place", rejection.problem, decision.actor)
                return admitted
        self.rejections.append(rejection)
        return None

    def _validate(
        self, table: RawTable, rows: pa.Table, unreadable: pa.Table, decision: ReviewDecision | None
    ) -> AdmittedBatch:
        """Validate a batch that arrived, or one that was released by a decision.

        Raises:
            RejectedBatch: it is rejected; one that arrived is in quarantine then.
        """
        batch = replace(validation.split_batch(self.use_case, table, rows, self.partition), unreadable=unreadable)
        if decision is None or table.name not in self.validated:
            self.validated[table.name] = (rows.num_rows, batch.result)
        accepted = decision.accepted if decision else frozenset()
        readmitted = Readmitted(batch)
        try:
            if not batch.result.missing_columns:
                released = self._released(table, batches=False)
                readmitted = readmission.readmit(self.use_case, table, self.partition, batch, released)
            validation.check_batch(self.use_case, table, readmitted.batch, self.partition, accepted)
            readmission.check_types(self.use_case, table, readmitted.batch.clean, self.partition)
        except RejectedBatch as error:
            if decision is None:
                content = packed(rows, unreadable)
                item = quarantine.store_batch(
                    self.use_case, table, self.partition, content, error.broken, batch.result.suite
                )
                problem = f"{error.problem} It is kept in quarantine as {item}."
                raise RejectedBatch(problem, error.fix, error.broken) from error
            raise
        self.validated[table.name] = (rows.num_rows, batch.result)
        return AdmittedBatch(
            readmitted.batch, readmitted.released, lambda: self._record_outcome(table, readmitted, decision)
        )

    def _released(self, table: RawTable, *, batches: bool) -> list[ReviewDecision]:
        """Decisions to release batches, or rows, of a table; newest first."""
        released = [
            decision
            for decision in self._decisions.values()
            if decision.table == table.name
            and decision.action == ReviewAction.RELEASED
            and (decision.position is None) is batches
        ]
        return sorted(released, key=lambda decision: decision.recorded_at, reverse=True)

    @cached_property
    def _decisions(self) -> dict[tuple[str, str, str], ReviewDecision]:
        """The newest decisions; because of the lock they stay so during this admission."""
        return quarantine.decisions(self.use_case, self.partition)

    def _record_outcome(self, table: RawTable, readmitted: Readmitted, decision: ReviewDecision | None) -> None:
        # Where a released batch entered, the one that arrived is still pending review.
        if decision is None:
            quarantine.supersede_batches(self.use_case, table, self.partition)
        readmission.record_outcome(self.use_case, self.partition, readmitted)
