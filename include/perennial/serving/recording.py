"""Records what is answered: every prediction of a batch is in the log before any of its requests is answered."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pyarrow as pa

from perennial.errors import InvalidExamples
from perennial.feature_store.columns import event_timestamp_column
from perennial.lake import prediction_columns
from perennial.served_predictions.records import ServedPrediction, Shape
from perennial.served_predictions.table import ServedAs, data_column
from perennial.served_predictions.writing import PredictionLog
from perennial.serving.answers import PredictionResponse
from perennial.serving.loaded_version import LoadedVersion
from perennial.serving.model_inputs import ModelInputs
from perennial.serving.requests import PredictionRequest

_MOMENT = pa.timestamp("us", tz="UTC")
#: Shapes that are remembered; there is one a version, and more only where types follow the values.
_MOST_SHAPES = 64


class ReceivedRequest(PredictionRequest, frozen=True):
    """A request that came over the network.

    Attributes:
        caller: Who sent it: see `AccessControl.check`.
        received: When it came in, by `time.perf_counter`.
    """

    caller: str | None = None
    received: float | None = None

    @staticmethod
    def of(asked: PredictionRequest, caller: str, received: float) -> ReceivedRequest:
        """A request, with where it comes from.

        Args:
            asked: The request.
            caller: See `caller`.
            received: See `received`.

        Raises:
            InvalidExamples: its `at` is not within the years 1 to 9999 in UTC.
        """
        fields = {name: getattr(asked, name) for name in asked.__struct_fields__}
        if asked.at is not None:
            try:
                fields["at"] = asked.at.astimezone(UTC)
            except OverflowError as error:
                message = "expected a moment in the years 1 to 9999, in UTC"
                raise InvalidExamples(
                    f"The request is invalid: at: {message}.", "Send another `at`.", [("at", message)]
                ) from error
        return ReceivedRequest(**fields, caller=caller, received=received)


@dataclass(frozen=True)
class Answered:
    """A valid request, and what becomes of it.

    Attributes:
        examples: n examples, as `RequestSchema.check` returned them.
        inputs: What the model saw of them; None: the features could not be read.
        outcome: The answer, or the error in its place.
        shadow_of: Of what was predicted in shadow, the ids of the answers that it accompanies.
    """

    request: PredictionRequest
    examples: Sequence[Mapping[str, Any]]
    inputs: ModelInputs | None
    outcome: PredictionResponse | Exception
    shadow_of: Sequence[str] = ()


#: Records a batch that one version answered; raises ServiceUnavailable if it cannot: then nobody may be answered.
Record = Callable[[LoadedVersion, Sequence[Answered]], None]


class Recorder:
    """Turns answers into records of a log; used by one thread.

    Args:
        log: Where they are written.
    """

    def __init__(self, log: PredictionLog) -> None:
        self._log = log
        self._shapes: dict[Any, tuple[LoadedVersion, Shape]] = {}
        #: The newest version, types and views, and their shape: nearly always the next ones, and found without a hash.
        self._last: tuple[LoadedVersion, pa.Schema, tuple[str, ...], Shape] | None = None

    def record(self, version: LoadedVersion, answered: Sequence[Answered], served_as: ServedAs = "champion") -> None:
        """Write what a version answered; when this returns it is on disk.

        Args:
            version: Who predicted.
            answered: Requests that were answered together. Of one that failed for a reason that is not the caller's,
                the failure is recorded.
            served_as: Why this version did.

        Raises:
            ServiceUnavailable: the log cannot be written.
        """
        by_shape: dict[Shape, list[ServedPrediction]] = {}
        for each in answered:
            if not isinstance(each.outcome, InvalidExamples):
                by_shape.setdefault(self._shape(version, each.inputs), []).extend(_records(version, each, served_as))
        for shape, records in by_shape.items():
            self._log.append(shape, records)

    def _shape(self, version: LoadedVersion, inputs: ModelInputs | None) -> Shape:
        views = tuple(inputs.event_timestamps[0]) if inputs is not None else ()
        types = inputs.schema if inputs is not None else pa.schema([])
        last = self._last
        if last is not None and last[0] is version and last[1] == types and last[2] == views:
            return last[3]
        key = (id(version), types, views)
        if key not in self._shapes:
            if len(self._shapes) >= _MOST_SHAPES:
                self._shapes.clear()
            columns = {field.name: field.type for field in version.request.fields}
            columns |= {field.name: field.type for field in types if field.name not in columns}
            columns |= {event_timestamp_column(view): _MOMENT for view in views}
            probabilities = prediction_columns.probabilities(version.use_case)
            columns |= dict.fromkeys(probabilities, pa.float64())
            schema = pa.schema([(data_column(name), kind) for name, kind in columns.items()])
            # With the version, so that its id is not another one's meanwhile.
            self._shapes[key] = (version, Shape.of(version.use_case.name, schema, is_class=bool(probabilities)))
        shape = self._shapes[key][1]
        self._last = (version, types, views, shape)
        return shape


def _records(version: LoadedVersion, answered: Answered, served_as: ServedAs) -> Iterator[ServedPrediction]:
    request, outcome = answered.request, answered.outcome
    received = request if isinstance(request, ReceivedRequest) else None
    now = datetime.now(UTC)
    waited = None
    if received is not None and received.received is not None:
        waited = (time.perf_counter() - received.received) * 1000
    error = type(outcome).__name__ if isinstance(outcome, Exception) else None
    for number, values in enumerate(_values(version, answered)):
        predicted = outcome.predictions[number] if isinstance(outcome, PredictionResponse) else None
        if classes := version.use_case.classes:
            known = (predicted.probabilities if predicted is not None else None) or {}
            values += [known.get(name) for name in classes]
        yield ServedPrediction(
            prediction_id=predicted.prediction_id if predicted is not None else str(uuid4()),
            event_timestamp=request.at or now,
            answered_at=now,
            values=values,
            prediction=predicted.prediction if predicted is not None else None,
            model_version=version.number,
            model_run=version.entry.model_run,
            served_as=served_as,
            error=error,
            shadow_of=answered.shadow_of[number] if answered.shadow_of else None,
            missing=(answered.inputs.missing[number] or None) if answered.inputs is not None else None,
            latency_ms=waited,
            caller=received.caller if received is not None else None,
            prediction_lower=predicted.lower if predicted is not None else None,
            prediction_upper=predicted.upper if predicted is not None else None,
        )


def _values(version: LoadedVersion, answered: Answered) -> Iterator[list[Any]]:
    """For each example the values of the shape's columns."""
    fields = [field.name for field in version.request.fields]
    inputs = answered.inputs
    if inputs is None:
        yield from ([example.get(name) for name in fields] for example in answered.examples)
        return
    # Features are what the model saw; the fields of a request are what was sent, whether the model saw them or not.
    features = inputs.values_of([name for name in inputs.schema.names if name not in fields])
    for number, example in enumerate(answered.examples):
        yield [
            *(example.get(name) for name in fields),
            *features[number],
            *inputs.event_timestamps[number].values(),
        ]
