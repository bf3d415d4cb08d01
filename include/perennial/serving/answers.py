"""What is answered to a request for predictions."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec


class Prediction(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The prediction of one example.

    Attributes:
        prediction_id: A UUID of its own.
        model_version: The version that predicted, where it is not the response's: a challenger that is tried.
        prediction: The probability of 1 for a binary use case, the most probable class's name for a multi-class one,
            else the predicted value, as batch scoring writes it.
        probabilities: Of a multi-class use case, class -> its probability.
        decision: Whether to act, by the version's threshold; only where the use case declares what that is worth.
        lower: Lower bound of the prediction interval, at most `prediction`; only where the use case declares an
            interval and the gate has recorded one for the version.
        upper: Its upper bound, at least `prediction`.
        missing: Features that the model saw as null because the online store knows nothing of the entity (`not-found`)
            or only values older than their view's `ttl` (`expired`), with that reason; empty: none.
        key: The example's key, where the request has it.
        features: The model's inputs as it saw them, if they were asked for.
        event_timestamps: When the values of each feature view became known (UTC; None: nothing is known), likewise.
    """

    prediction_id: str
    prediction: float | str
    probabilities: dict[str, float] | None = None
    model_version: int | None = None
    decision: bool | None = None
    lower: float | None = None
    upper: float | None = None
    missing: dict[str, str] = {}
    key: dict[str, Any] | None = None
    features: dict[str, Any] | None = None
    event_timestamps: dict[str, datetime | None] | None = None


class PredictionResponse(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a request: one prediction an example, in the request's order.

    All are of one version, but those of entities that a challenger answers while it is tried.

    Attributes:
        use_case: The use case's name.
        model_version: The version in the registry that predicted.
        predictions: One an example.
    """

    use_case: str
    model_version: int
    predictions: list[Prediction]


class VersionCheck(msgspec.Struct, frozen=True, kw_only=True):
    """What came of loading a version.

    Attributes:
        use_case: The use case's name.
        model_version: The version.
        predictions: What it predicts of the rows that training stored with it as an example of its inputs.
        problem: Why it cannot be loaded, or does not predict; None: it can.
        classes: Of a multi-class use case those that the server knows, in the order of the predictions.
    """

    use_case: str
    model_version: int
    predictions: list[float | list[float]] = []
    problem: str | None = None
    classes: list[str] = []
