"""`perennial.predict`: the champion's predictions for examples that a caller asks about."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from perennial import discovery
from perennial._common.heavy_imports import fast_imports
from perennial.errors import InvalidExamples, InvalidParams, MissingFeatures, PerennialError, PredictionFailed

if TYPE_CHECKING:
    import numpy as np

    from perennial.serving.answers import Prediction, PredictionResponse
    from perennial.serving.features import ModelInputs
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
        The version that predicted, and for each example, in order, the prediction (probability of 1, or the predicted
        value), its id, and which features are missing or expired.

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
    from perennial.serving import features as online
    from perennial.serving.answers import PredictionResponse

    checked = version.request.check(examples, from_text=from_text)
    inputs = online.read(version, checked, at.replace(tzinfo=UTC) if at and at.tzinfo is None else at)
    if version.use_case.serving.on_missing == "refuse" and any(inputs.missing):
        raise _refused(version, inputs)
    predicted = _predict(version, inputs)
    rows = inputs.rows.to_pylist() if features else None
    return PredictionResponse(
        use_case=version.use_case.name,
        model_version=version.number,
        predictions=[
            _prediction(version, inputs, number, float(predicted[number]), example, rows)
            for number, example in enumerate(checked)
        ],
    )


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


def _prediction(
    version: LoadedVersion,
    inputs: ModelInputs,
    number: int,
    value: float,
    example: Mapping[str, Any],
    rows: list[dict[str, Any]] | None,
) -> Prediction:
    from perennial.serving.answers import Prediction

    key = {name: example[name] for name in version.use_case.examples.key if name in example}
    return Prediction(
        prediction_id=str(uuid4()),
        prediction=value,
        missing=inputs.missing[number],
        key=key if len(key) == len(version.use_case.examples.key) else None,
        features=rows[number] if rows is not None else None,
        event_timestamps=inputs.event_timestamps[number] if rows is not None else None,
    )


def _predict(version: LoadedVersion, inputs: ModelInputs) -> np.ndarray:
    """(n,) float64, all finite."""
    subject = f"Version {version.number} of model {version.use_case.name!r}"
    try:
        predicted = version.predict(inputs.rows.to_pandas())
    except PerennialError:
        raise
    except Exception as error:
        message = f"{subject} failed on the request: {type(error).__name__}: {error}"
        if nulls := _nulls(version, inputs):
            problems = [(path, "null, with which the model fails") for path in nulls]
            raise InvalidExamples(
                message, f"Likely it never saw a null in {nulls[0]}: send a value.", problems
            ) from error
        raise PredictionFailed(message, "Look for what its estimator does not expect.") from error
    for number, value in enumerate(predicted):
        if not math.isfinite(value):
            raise PredictionFailed(f"{subject} predicted {value} for examples[{number}].", "Check its estimator.")
    return predicted


def _nulls(version: LoadedVersion, inputs: ModelInputs) -> list[str]:
    """The paths of request features that are null."""
    names = [field.name for field in version.request.fields if field.name in inputs.rows.column_names]
    return [
        f"examples[{number}].{name}"
        for name in names
        for number, value in enumerate(inputs.rows[name].to_pylist())
        if value is None
    ]


def _refused(version: LoadedVersion, inputs: ModelInputs) -> MissingFeatures:
    problems = [
        (f"examples[{number}].{name}", reason)
        for number, missing in enumerate(inputs.missing)
        for name, reason in missing.items()
    ]
    listed = "; ".join(f"{path}: {reason}" for path, reason in problems[:5])
    more = f"; and {len(problems) - 5} more" if len(problems) > 5 else ""
    return MissingFeatures(
        f"Use case {version.use_case.name!r}: features of the request are missing: {listed}{more}.",
        "Materialize newer features, or let the use case answer without them: serving.on_missing in use_case.py.",
        problems,
    )
