"""Tells what the runs that a command has waited for left in quarantine: a successful run may have loaded few rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from perennial.dag_names import FEATURES
from perennial.errors import PerennialError, ServiceUnavailable

if TYPE_CHECKING:
    from perennial.quarantine.summary import QuarantineSummary
    from perennial.runs.progress import Step
    from perennial.use_case import UseCase


class QuarantineRemarks:
    """What each partition's run of `features` left in quarantine, read once that run is over."""

    def __init__(self, use_case: UseCase) -> None:
        """Nothing is read yet."""
        self._use_case = use_case
        self._summaries: dict[str, QuarantineSummary] = {}

    def of_partition(self, partition: str) -> list[str]:
        """The lines about a partition; none if nothing of it is in quarantine."""
        from perennial.quarantine.summary import summarize

        self._summaries[partition] = summarize(self._use_case, partition)
        return [f"quarantine: {line}" for line in self._summaries[partition].lines()]

    def of_step(self, step: Step) -> list[str]:
        """The lines below a step of a replay or a backfill."""
        is_loaded = step.pipeline == FEATURES and step.state in ("done", "already-done")
        return self.of_partition(step.partition) if is_loaded else []

    def in_errors(self, steps: Iterable[Step]) -> Iterator[Step]:
        """The steps; the error of a failed run of `features` tells what is in quarantine, too."""
        last = None
        try:
            for last in steps:
                yield last
        except ServiceUnavailable:  # The run may go on.
            raise
        except PerennialError as error:
            if last is not None and last.pipeline == FEATURES and last.state == "started":
                self.add_to(error, last.partition)
            raise

    def add_to(self, error: PerennialError, partition: str) -> None:
        """Let an error tell what of a partition is in quarantine.

        Args:
            error: Why the run failed.
            partition: The partition of the run.
        """
        error.problem = "\n".join([error.problem, *self.of_partition(partition)])

    def as_json(self, partition: str) -> dict[str, Any] | None:
        """What `of_partition` has read; None if it was not called."""
        return self._summaries[partition].as_json() if partition in self._summaries else None
