"""Answers in parts and together, and what another version sees and says of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec
import pyarrow as pa

from perennial.serving import features as online
from perennial.serving.answers import Prediction, PredictionResponse
from perennial.serving.loaded_version import LoadedVersion
from perennial.serving.model_inputs import ModelInputs, PlainInputs
from perennial.serving.recording import Answered
from perennial.serving.requests import PredictionRequest


def inputs_of(champion: LoadedVersion, challenger: LoadedVersion, part: Answered) -> ModelInputs:
    """What the challenger sees of examples: what the champion saw, if that has all its columns.

    Args:
        champion: Who answered.
        challenger: Whose columns.
        part: The answer.

    Raises:
        ServiceUnavailable: other columns are needed, and the online store does not answer.
    """
    seen = part.inputs
    assert seen is not None, "it was answered"  # noqa: S101
    if champion.definitions != challenger.definitions or not set(challenger.columns) <= set(seen.schema.names):
        return online.read(challenger, part.examples, part.request.at)
    used = frozenset(challenger.columns)
    missing = [{name: why for name, why in each.items() if name in used} for each in seen.missing]
    if isinstance(seen, PlainInputs):
        schema = pa.schema([seen.schema.field(name) for name in challenger.columns])
        return PlainInputs(schema, seen.values_of(challenger.columns), missing, seen.event_timestamps)
    return ModelInputs(seen.rows.select(challenger.columns), missing, seen.event_timestamps, seen.retyped & used)


def gathered(challenger: LoadedVersion, answered: Sequence[Answered]) -> list[Answered]:
    """Answers of the same moment and columns as one, which costs less; as they are where rows depend on one another.

    Args:
        challenger: Who is to predict them.
        answered: At least one.
    """
    groups: dict[Any, list[Answered]] = {}
    for number, each in enumerate(answered):
        alike: Any = number
        if each.inputs is not None and challenger.predicts_jointly:
            is_plain = challenger.compiled is not None and isinstance(each.inputs, PlainInputs)
            # The schema is the version's own, and hashing one takes longer than a prediction.
            alike = (each.request.at, id(each.inputs.schema) if is_plain else each.inputs.frame_types)
        groups.setdefault(alike, []).append(each)
    return [_together(several) if len(several) > 1 else several[0] for several in groups.values()]


def _together(several: Sequence[Answered]) -> Answered:
    first = several[0]
    seen = [each.inputs for each in several if each.inputs is not None]
    missing = [missing for each in seen for missing in each.missing]
    times = [times for each in seen for times in each.event_timestamps]
    plain = [each for each in seen if isinstance(each, PlainInputs)]
    inputs: ModelInputs
    if len(plain) == len(seen):
        inputs = PlainInputs(plain[0].schema, [row for each in plain for row in each.values], missing, times)
    else:
        inputs = ModelInputs(pa.concat_tables([each.rows for each in seen]), missing, times)
    predictions = [prediction for each in several for prediction in response_of(each).predictions]
    outcome = msgspec.structs.replace(response_of(first), predictions=predictions)
    examples = [example for each in several for example in each.examples]
    return replace(first, examples=examples, inputs=inputs, outcome=outcome)


def part_of(answered: Answered, numbers: Sequence[int]) -> Answered:
    """Some examples of an answer.

    Args:
        answered: The whole.
        numbers: Their places.
    """
    if len(numbers) == len(answered.examples):
        return answered
    inputs, outcome = answered.inputs, answered.outcome
    if inputs is not None:
        missing = [inputs.missing[number] for number in numbers]
        times = [inputs.event_timestamps[number] for number in numbers]
        if isinstance(inputs, PlainInputs):
            inputs = PlainInputs(inputs.schema, [inputs.values[number] for number in numbers], missing, times)
        else:
            inputs = ModelInputs(inputs.rows.take(list(numbers)), missing, times, inputs.retyped)
    if isinstance(outcome, PredictionResponse):
        outcome = msgspec.structs.replace(outcome, predictions=[outcome.predictions[number] for number in numbers])
    return replace(answered, examples=[answered.examples[number] for number in numbers], inputs=inputs, outcome=outcome)


def beside(part: Answered, predicted: Sequence[Prediction] | Exception) -> Answered:
    """What the other version says of examples that were answered: nobody waits for it.

    Args:
        part: What was answered.
        predicted: What the other says, or why it says nothing.
    """
    response = response_of(part)
    outcome: PredictionResponse | Exception
    if isinstance(predicted, Exception):
        outcome = predicted
    else:
        outcome = msgspec.structs.replace(response, predictions=list(predicted))
    ids = [each.prediction_id for each in response.predictions]
    return replace(part, request=PredictionRequest([], part.request.at), outcome=outcome, shadow_of=ids)


def response_of(answered: Answered) -> PredictionResponse:
    """The response of a request that was answered."""
    assert isinstance(answered.outcome, PredictionResponse), "it was answered"  # noqa: S101
    return answered.outcome
