"""Errors that teach: each names where it happened and the likely fix."""

from __future__ import annotations

from collections.abc import Sequence


class PerennialError(Exception):
    """Something a user can mend.

    Args:
        problem: What is wrong, naming use case, file, field or partition.
        fix: What to do about it.
    """

    def __init__(self, problem: str, fix: str = "") -> None:
        self.problem = problem
        self.fix = fix
        super().__init__(f"{problem}\n  Fix: {fix}" if fix else problem)


class UnknownUseCase(PerennialError):
    """No use case of that name is installed."""


class UnknownVersion(PerennialError):
    """The registry has no such version of the use case's model."""


class InvalidSetting(PerennialError):
    """An environment variable `PERENNIAL_*` holds a value that cannot be."""


class InvalidPartition(PerennialError):
    """A partition's name is malformed, or the use case has no such partition."""


class InvalidParams(PerennialError):
    """A run was given parameters it does not know or that are out of range."""


class BadBatch(PerennialError):
    """A whole raw batch is unfit to enter the lake; nothing of it was written."""


class SchemaMismatch(PerennialError):
    """Rows do not fit the lake's table that they are for: a value would become another one. Nothing was written.

    Args:
        problem, fix: As of every error.
        columns: What does not fit, column by column: the type there, and the one here.
    """

    def __init__(self, problem: str, fix: str = "", columns: Sequence[str] = ()) -> None:
        super().__init__(problem, fix)
        self.columns = tuple(columns)


class BadFeatures(PerennialError):
    """Computed features, or their definitions, are not what the feature repository promises."""


class ParityBroken(PerennialError):
    """What was served is not what the offline store holds for the same moment, or is older than its view promises."""


class NotEnoughData(PerennialError):
    """There are too few rows to train or to judge on."""


class TrainingFailed(PerennialError):
    """The use case's estimator could not be built or fitted."""


class ServiceUnavailable(PerennialError):
    """A server (PostgreSQL, MLflow, Airflow) did not answer after retries."""


class StorageFull(ServiceUnavailable):
    """A disk, or a quota of one, has no room left; nothing was half written."""


class DamagedFile(PerennialError):
    """A file of the lake is gone, cut short or changed; what it held has to be brought back."""
