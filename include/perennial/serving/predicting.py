"""`perennial.predict`: the champion's predictions for examples that a caller asks about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from perennial import discovery
from perennial._common.heavy_imports import fast_imports
from perennial.errors import InvalidParams

if TYPE_CHECKING:
    from perennial.serving.answers import PredictionResponse
    from perennial.serving.loaded_version import LoadedVersion


def predict(
    use_case: str,
    examples: Mapping[str, Any] | Sequence[Mapping[str, Any]],
    *,
    at: datetime | None = None,
    features: bool = False,
) -> PredictionResponse:
    """Predict examples with the champion, from the newest features of the online store; nothing is recorded.

    Args:
        use_case: Its name.
        examples: One example or several, at most 1000: the join keys of the use case's feature views, its request
            features and, if wanted, the example's key.
        at: The moment that the ages of features are counted to, where the past is served again; a time without a zone
            is UTC. None: now.
        features: Also return the features that the model saw, and when they became known.

    Returns:
        The version that predicted, and for each example, in order, the prediction (probability of 1, the most
        probable class with all probabilities, or the predicted value), its id, and which features are missing or
        expired.

    Raises:
        UnknownUseCase: there is no such use case.
        UnknownVersion: no version is in production yet.
        InvalidExamples: an example lacks a field, or has one that is unknown or of another type; all are listed.
        MissingFeatures: features are missing, and the use case's policy is to refuse the request then.
        PredictionFailed: the model fails on these examples.
        ServiceUnavailable: the lake, the registry of features or MLflow cannot be reached.
    """
    with fast_imports():
        from perennial.serving import loaded_version

    version = loaded_version.current(discovery.load(use_case))
    return answer(version, [examples] if isinstance(examples, Mapping) else list(examples), at=at, features=features)


def answer(
    version: LoadedVersion,
    examples: Sequence[Any],
    *,
    at: datetime | None = None,
    features: bool = False,
    from_text: bool = False,
) -> PredictionResponse:
    """`predict`, by a version that is loaded.

    Args:
        version: The version.
        examples: n examples, not checked yet.
        at: See `predict`.
        features: See `predict`.
        from_text: Whether values may be written as text, as on the command line.

    Raises:
        InvalidExamples: see `predict`.
        MissingFeatures: see `predict`.
        PredictionFailed: see `predict`.
        ServiceUnavailable: the registry of features does not answer.
    """
    from perennial.serving.answering import answer_together
    from perennial.serving.requests import PredictionRequest

    request = PredictionRequest(list(examples), at.replace(tzinfo=UTC) if at and at.tzinfo is None else at, features)
    (outcome,) = answer_together(version, [request], from_text=from_text)
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def parse_moment(text: str) -> datetime:
    """A moment as a caller writes it, ISO 8601; without a zone it is UTC.

    Raises:
        InvalidParams: it is no moment.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidParams(f"{text!r} is no moment.", "Write it as 2013-12-31T18:00:00Z.") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
