"""Errors that teach: each names where it happened and the likely fix."""

from __future__ import annotations

from collections.abc import Sequence


class PerennialError(Exception):
    """An error that a user can fix.

    Args:
        problem: What is wrong, naming use case, file, field or partition.
        fix: What to do about it; may be empty.
    """

    def __init__(self, problem: str, fix: str = "") -> None:
        self.problem = problem
        self.fix = fix
        super().__init__(f"{problem}\n  Fix: {fix}" if fix else problem)


class UnknownUseCase(PerennialError):
    """There is no use case with that name."""


class UnknownVersion(PerennialError):
    """The registry has no such version of the use case's model."""


class VersionNotServed(PerennialError):
    """A request names a version that does not exist, or does not serve."""


class InvalidSetting(PerennialError):
    """An environment variable `PERENNIAL_*` has an invalid value."""


class InvalidPartition(PerennialError):
    """A partition's key is malformed, or the use case has no such partition."""


class InvalidParams(PerennialError):
    """A run was given parameters that do not exist or are out of range."""


class RequestRefused(PerennialError):
    """A request was not answered: nothing was predicted, or written.

    Args:
        problem: What is wrong, as in every `PerennialError`.
        fix: What to do about it.
        problems: Each problem's path, for instance `examples[3].carrier`, and what is wrong there.
    """

    def __init__(self, problem: str, fix: str = "", problems: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(problem, fix)
        self.problems = tuple(problems)


class InvalidExamples(RequestRefused):
    """A request for predictions has fields or values that the use case does not know."""


class InvalidRows(RequestRefused):
    """Rows that were pushed do not fit their feature table; nothing was written."""


class MissingFeatures(RequestRefused):
    """The online store lacks features of a request, and the use case's policy is to refuse it then."""


class PredictionFailed(PerennialError):
    """The model did not predict, or predicted something that is not a number."""


class BadBatch(PerennialError):
    """A raw batch as a whole cannot be loaded into the lake; nothing of it was written."""


class SchemaMismatch(PerennialError):
    """Rows do not fit their table in the lake: writing would change a value. Nothing was written.

    Args:
        problem: What is wrong, as in every `PerennialError`.
        fix: What to do about it.
        columns: A description of each column that does not fit, with the type in the lake and the type of the rows.
    """

    def __init__(self, problem: str, fix: str = "", columns: Sequence[str] = ()) -> None:
        super().__init__(problem, fix)
        self.columns = tuple(columns)


class BadFeatures(PerennialError):
    """Computed features, or their definitions, do not match the feature repository."""


class OnlineOfflineMismatch(PerennialError):
    """Served values differ from the offline store's at the same moment, or are staler than their view declares."""


class ChangedArtifact(PerennialError):
    """What MLflow stores of a training is not what the training wrote; nothing of it was loaded."""


class NotEnoughData(PerennialError):
    """There are too few rows to train or to evaluate on."""


class TrainingFailed(PerennialError):
    """The use case's estimator could not be built or fitted."""


class ServiceUnavailable(PerennialError):
    """A server (PostgreSQL, MLflow, Airflow) did not answer after retries."""


class StorageFull(ServiceUnavailable):
    """A disk or a quota is full; nothing was written in part."""


class DamagedFile(PerennialError):
    """A file of the lake is missing, truncated or modified; its content has to be restored."""
