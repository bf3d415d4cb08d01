"""Answers requests to one version: several with one read and one prediction, each as if it were alone."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import uuid4

import numpy as np
import pyarrow as pa

from perennial.errors import (
    BadFeatures,
    InvalidExamples,
    MissingFeatures,
    PerennialError,
    PredictionFailed,
    ServiceUnavailable,
)
from perennial.evaluation import intervals
from perennial.registry.model_loading import Predictor
from perennial.serving import features as online
from perennial.serving.answers import Prediction, PredictionResponse
from perennial.serving.loaded_version import LoadedVersion
from perennial.serving.model_inputs import ModelInputs, PlainInputs
from perennial.serving.recording import Answered, Record
from perennial.serving.requests import PredictionRequest

log = logging.getLogger(__name__)


def answer_together(
    version: LoadedVersion,
    requests: Sequence[PredictionRequest],
    *,
    from_text: bool = False,
    record: Record | None = None,
) -> list[PredictionResponse | Exception]:
    """Answer several requests with one read and one prediction, each to the bit as if it were alone.

    Args:
        version: Who predicts.
        requests: What is asked; not checked yet.
        from_text: See `answer`.
        record: Called once with all that is about to be answered; if it fails, nothing is.

    Returns:
        For each request its answer, or the error by which it fails: what is wrong with one request fails no other.
    """
    outcomes: dict[int, PredictionResponse | Exception] = {}
    checked: dict[int, list[dict[str, Any]]] = {}
    for number, request in enumerate(requests):
        try:
            checked[number] = version.request.check(request.examples, from_text=from_text)
        except Exception as error:
            outcomes[number] = error
    inputs: dict[int, ModelInputs] = {}
    for number, read in _read(version, requests, checked).items():
        if isinstance(read, ModelInputs) and version.use_case.serving.on_missing == "refuse" and any(read.missing):
            outcomes[number] = _refused(version, read)
        elif isinstance(read, ModelInputs):
            inputs[number] = read
        else:
            outcomes[number] = read
    for number, predicted in predict_together(version, inputs).items():
        if isinstance(predicted, Exception):
            outcomes[number] = predicted
        else:
            outcomes[number] = response(version, inputs[number], predicted, checked[number], requests[number].features)
    if record is not None:
        try:
            record(version, [Answered(requests[at], checked[at], inputs.get(at), outcomes[at]) for at in checked])
        except Exception as error:
            outcomes |= {at: error for at in checked if isinstance(outcomes[at], PredictionResponse)}
    return [outcomes[number] for number in range(len(requests))]


def _read(
    version: LoadedVersion, requests: Sequence[PredictionRequest], checked: Mapping[int, list[dict[str, Any]]]
) -> dict[int, ModelInputs | Exception]:
    """The inputs of each checked request; those whose ages are counted to the same moment are read together."""
    by_moment: dict[datetime | None, list[int]] = {}
    for number in checked:
        by_moment.setdefault(requests[number].at, []).append(number)
    inputs: dict[int, ModelInputs | Exception] = {}
    for at, numbers in by_moment.items():
        groups = [numbers] if version.reads_jointly else [[number] for number in numbers]
        while groups:
            group = groups.pop()
            try:
                rows = online.read(version, [example for number in group for example in checked[number]], at)
                inputs |= zip(group, rows.split([len(checked[number]) for number in group]), strict=True)
            except (ServiceUnavailable, BadFeatures) as error:
                inputs |= dict.fromkeys(group, error)
            except Exception as error:
                if len(group) == 1:
                    inputs[group[0]] = error
                else:  # One of them may be the reason.
                    groups += [[number] for number in group]
    return inputs


def predict_together(version: LoadedVersion, inputs: Mapping[int, ModelInputs]) -> dict[int, np.ndarray | Exception]:
    """(n,) float64 for each request, of K classes (n, K), all finite, or why there is none.

    Requests whose columns pandas holds in other types are kept apart.

    Args:
        version: Who predicts.
        inputs: Of each request.
    """
    predicted: dict[int, np.ndarray | Exception] = {**_compiled(version, inputs)}
    groups: dict[Any, list[int]] = {}
    for number, each in inputs.items():
        if number in predicted:
            continue
        groups.setdefault(each.frame_types if version.predicts_jointly else number, []).append(number)
    for numbers in groups.values():
        together = _tried(version, [inputs[number] for number in numbers]) if len(numbers) > 1 else [None]
        for number, values in zip(numbers, together, strict=True):
            predicted[number] = _predict(version, inputs[number]) if values is None else values
    return predicted


def _compiled(version: LoadedVersion, inputs: Mapping[int, ModelInputs]) -> dict[int, np.ndarray]:
    """(n,) float64 for each request that the compiled model predicts; all others are left to the pipeline."""
    plain = {number: each for number, each in inputs.items() if isinstance(each, PlainInputs)}
    if version.compiled is None or not plain:
        return {}
    predicted: dict[int, np.ndarray] = {}
    groups = [list(plain)] if version.predicts_jointly else [[number] for number in plain]
    while groups:
        numbers = groups.pop()
        try:
            values = version.compiled.model.predict([row for number in numbers for row in plain[number].values])
        except Exception:
            groups += [[number] for number in numbers] if len(numbers) > 1 else []
            continue
        if np.isfinite(values).all():
            ends = np.cumsum([len(plain[number].values) for number in numbers])
            predicted |= zip(numbers, np.split(values, ends[:-1]), strict=True)
        elif len(numbers) > 1:
            groups += [[number] for number in numbers]
    return predicted


def _tried(version: LoadedVersion, inputs: Sequence[ModelInputs]) -> list[np.ndarray | None]:
    """(n,) float64 for each request; None: it has to be predicted alone, which tells what is wrong with which."""
    try:
        values = version.predict(pa.concat_tables([each.rows for each in inputs]).to_pandas())
    except Exception:
        return [None] * len(inputs)
    ends = np.cumsum([each.rows.num_rows for each in inputs])
    return [part if np.isfinite(part).all() else None for part in np.split(np.asarray(values, float), ends[:-1])]


def response(
    version: LoadedVersion,
    inputs: ModelInputs,
    predicted: np.ndarray,
    examples: Sequence[Mapping[str, Any]],
    features: bool,
) -> PredictionResponse:
    """The answer to a request.

    Args:
        version: Who predicted.
        inputs: What it saw of n examples.
        predicted: (n,) its predictions; of K classes (n, K).
        examples: As the request's check returned them.
        features: Whether what the model saw is returned, too.
    """
    rows, between = inputs.rows.to_pylist() if features else None, _bounds(version, inputs, predicted)
    return PredictionResponse(
        use_case=version.use_case.name,
        model_version=version.number,
        predictions=[
            _prediction(version, inputs, number, predicted[number], between[number], example, rows)
            for number, example in enumerate(examples)
        ],
    )


def _prediction(
    version: LoadedVersion,
    inputs: ModelInputs,
    number: int,
    value: np.ndarray,
    between: tuple[float | None, float | None],
    example: Mapping[str, Any],
    rows: list[dict[str, Any]] | None,
) -> Prediction:
    key = {name: example[name] for name in version.use_case.examples.key if name in example}
    classes = version.use_case.classes
    return Prediction(
        prediction_id=str(uuid4()),
        prediction=classes[value.argmax()] if classes else float(value),
        probabilities=dict(zip(classes, value.tolist(), strict=True)) if classes else None,
        decision=None if version.threshold is None else bool(value >= version.threshold),
        lower=between[0],
        upper=between[1],
        missing=inputs.missing[number],
        key=key if len(key) == len(version.use_case.examples.key) else None,
        features=rows[number] if rows is not None else None,
        event_timestamps=inputs.event_timestamps[number] if rows is not None else None,
    )


def _bounds(
    version: LoadedVersion, inputs: ModelInputs, predicted: np.ndarray
) -> list[tuple[float | None, float | None]]:
    """The prediction interval of each example; of nothing but None where there is none.

    Without it a prediction is still one: quantiles that the model fails to predict are logged.
    """
    none: tuple[float | None, float | None] = (None, None)
    if version.margin is None:
        return [none] * len(predicted)
    try:
        quantiles = _quantiles(version, inputs)
    except Exception as error:  # In one line: it may be so with each request.
        log.warning("%s: v%d predicts no quantiles: %r", version.use_case.name, version.number, error)
        return [none] * len(predicted)
    margin: np.ndarray | float = version.margin.margin
    if version.margin.by is not None and version.margin.by in inputs.schema.names:
        margin = version.margin.of_rows([value for (value,) in inputs.values_of([version.margin.by])])
    lower, upper = intervals.bounds(predicted, quantiles, margin)
    pairs = zip(lower.tolist(), upper.tolist(), strict=True)
    return [both if math.isfinite(sum(both)) else none for both in pairs]


def _quantiles(version: LoadedVersion, inputs: ModelInputs) -> np.ndarray | None:
    """(n, 2), or None where the version predicts none; then no columns are made of the inputs."""
    if not isinstance(version.predict, Predictor) or version.predict.between is None:
        return None
    return version.predict.quantiles(inputs.rows.to_pandas())


def _predict(version: LoadedVersion, inputs: ModelInputs) -> np.ndarray | Exception:
    """(n,) float64, all finite."""
    subject = f"Version {version.number} of model {version.use_case.name!r}"
    try:
        predicted = version.predict(inputs.rows.to_pandas())
    except PerennialError as error:
        return error
    except Exception as error:
        message = f"{subject} failed on the request: {type(error).__name__}: {error}"
        failure: PerennialError
        if nulls := _nulls(version, inputs):
            problems = [(path, "null, with which the model fails") for path in nulls]
            failure = InvalidExamples(message, f"Likely it never saw a null in {nulls[0]}: send a value.", problems)
        else:
            failure = PredictionFailed(message, "Look for what its estimator does not expect.")
        failure.__cause__ = error
        return failure
    for number, value in enumerate(predicted):
        if not np.isfinite(value).all():
            return PredictionFailed(f"{subject} predicted {value} for examples[{number}].", "Check its estimator.")
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
