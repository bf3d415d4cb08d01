"""Answers requests while a challenger is tried: as a canary it answers for some entities, and otherwise in shadow.

The champion answers every request first, so that a challenger that fails fails nobody: its answer takes the champion's
place only where it has one. What the challenger says of all others is predicted when nothing waits for an answer, and
dropped where that never comes.
"""

from __future__ import annotations

import logging
import random
import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal
from uuid import uuid4

import msgspec

from perennial.errors import PerennialError, PredictionFailed, ServiceUnavailable
from perennial.served_predictions.table import ServedAs
from perennial.serving import answering
from perennial.serving.answers import Prediction, PredictionResponse
from perennial.serving.challengers import Challengers, Trial, is_lasting
from perennial.serving.loaded_version import LoadedVersion
from perennial.serving.model_inputs import ModelInputs
from perennial.serving.recording import Answered, Recorder
from perennial.serving.requests import PredictionRequest
from perennial.serving.trial_answers import beside, gathered, inputs_of, part_of, response_of

log = logging.getLogger(__name__)

#: Examples that may wait to be predicted in shadow; beyond that they are dropped.
MAX_SHADOWS = 2_000
#: Examples that are predicted in shadow at once, by an estimator, which takes about as long for hundreds of rows as for
#: one, and by a compiled model, which does not: an answer may have to wait for as many.
_AT_ONCE = 256
_AT_ONCE_COMPILED = 64
#: For how long they gather, in seconds.
_GATHERED = 1.0

#: What becomes of a prediction of the challenger: `dropped` ones were never made.
Fate = Literal["shadow", "canary", "failed", "dropped"]
#: What is recorded of a batch: by version and by how it was served.
_Rows = dict[tuple[int, ServedAs], tuple[LoadedVersion, list[Answered]]]


@dataclass(frozen=True)
class _Canary:
    """What the challenger says of the examples of an answer whose entities are its own.

    Attributes:
        numbers: Their places in the request.
        part: The champion's answer to them.
        predicted: The challenger's, or why it has none.
    """

    numbers: list[int]
    part: Answered
    predicted: list[Prediction] | Exception


@dataclass(frozen=True)
class _Shadow:
    """Examples that the champion has answered and the challenger is to predict, too."""

    trial: Trial
    champion: LoadedVersion
    answered: Answered
    since: float


class Trials:
    """The rollouts of a server's use cases; the thread that answers uses it, any thread may read `counts`.

    Args:
        challengers: The loaded challengers.
        recorder: Records predictions before they are answered.

    Attributes:
        counts: By use case and fate, the challenger's predictions.
    """

    def __init__(self, challengers: Challengers, recorder: Recorder) -> None:
        self._challengers = challengers
        self._record = recorder.record
        self._shadows: deque[_Shadow] = deque()
        self._waiting = 0
        self._reported: PerennialError | None = None
        self.counts: Counter[tuple[str, Fate]] = Counter()

    def answer(
        self, champion: LoadedVersion, requests: Sequence[PredictionRequest]
    ) -> list[PredictionResponse | Exception]:
        """Answer requests to a use case, as `answering.answer_together` does, and record what is answered.

        Args:
            champion: The version that serves.
            requests: Not checked yet.
        """
        trial = self._challengers.of(champion.use_case.name)
        if trial is None or trial.state.champion != champion.number:
            return answering.answer_together(champion, requests, record=self._record)
        seen: list[Answered] = []
        outcomes = answering.answer_together(champion, requests, record=lambda _, answered: seen.extend(answered))
        rows: _Rows = {}
        answers: dict[int, PredictionResponse] = {}
        shadows: list[_Shadow] = []
        try:
            canaries = self._canaries(champion, trial, [each for each in seen if _is_good(each)])
        except BaseException:  # Whatever a model raises, such as a panic of Rust: the champion has answered.
            log.exception("%s: the challenger cannot answer", champion.use_case.name)
            canaries = {}
        for each in seen:
            if not _is_good(each):
                _add(rows, champion, "champion", each)
                continue
            answers[id(each.request)], left = _merge(rows, champion, trial, each, canaries.get(id(each)))
            if left is not None:
                shadows.append(_Shadow(trial, champion, left, time.monotonic()))
        self._report(rows, champion, trial, shadows)
        try:
            for (_, served_as), (version, answered) in rows.items():
                self._record(version, answered, served_as)
        except Exception as error:  # Nothing is answered that is not recorded.
            return [error if isinstance(each, PredictionResponse) else each for each in outcomes]
        self._count(champion, rows)
        self._enqueue(shadows)
        return [answers.get(id(request), outcome) for request, outcome in zip(requests, outcomes, strict=True)]

    def predict_waiting(self) -> float | None:
        """Predict in shadow what has gathered, in part, and record it; it never fails.

        Returns:
            After how many seconds at the latest to call it again; None: nothing waits.
        """
        if not self._shadows:
            return None
        left = self._shadows[0].since + _GATHERED - time.monotonic()
        version = self._shadows[0].trial.version
        at_once = _AT_ONCE if version is None or version.compiled is None else _AT_ONCE_COMPILED
        if left > 0 and self._waiting < at_once:
            return left
        self._predict_part(at_once)
        return 0.0 if self._shadows else None

    def _predict_part(self, at_once: int) -> None:
        batch: list[_Shadow] = []
        examples = 0
        while self._shadows and (not batch or examples + len(self._shadows[0].answered.examples) <= at_once):
            batch.append(self._shadows.popleft())
            examples += len(batch[-1].answered.examples)
        self._waiting -= examples
        by_trial: dict[int, list[_Shadow]] = {}
        for each in batch:
            current = self._challengers.of(each.champion.use_case.name)
            if current is None or current.version is not each.trial.version:
                self._drop(each)  # Its rollout is over.
            else:
                by_trial.setdefault(id(each.trial.version), []).append(each)
        for several in by_trial.values():
            try:
                self._predict_in_shadow(several)
            except BaseException:  # As above; the thread has answers to give.
                log.exception("What %s answered could not be predicted in shadow", several[0].champion.use_case.name)
                for each in several:
                    self._drop(each)

    def _canaries(self, champion: LoadedVersion, trial: Trial, answered: Sequence[Answered]) -> dict[int, _Canary]:
        """By answer (its id) what the challenger answers of it; without answers that have no entity of its share."""
        if trial.version is None or not trial.state.stage.share:
            return {}
        chosen: dict[int, list[int]] = {}
        parts: dict[int, Answered] = {}
        for each in answered:
            if numbers := [number for number, example in enumerate(each.examples) if trial.is_canary(example)]:
                chosen[id(each)], parts[id(each)] = numbers, part_of(each, numbers)
        predicted = _predict(champion, trial.version, parts)
        return {key: _Canary(chosen[key], parts[key], each) for key, each in predicted.items()}

    def _predict_in_shadow(self, shadows: Sequence[_Shadow]) -> None:
        first = shadows[0]
        challenger = first.trial.version
        if challenger is None:
            return
        rows: _Rows = {}
        parts = dict(enumerate(gathered(challenger, [each.answered for each in shadows])))
        predicted = _predict(first.champion, challenger, parts)
        for number, part in parts.items():
            if number in predicted:
                _add(rows, challenger, "shadow", beside(part, predicted[number]))
            else:
                self.counts[first.champion.use_case.name, "dropped"] += len(part.examples)
        for (_, served_as), (version, answered) in rows.items():
            self._record(version, answered, served_as)
        self._count(first.champion, rows)

    def _enqueue(self, shadows: Sequence[_Shadow]) -> None:
        for each in shadows:
            if each.trial.version is None or random.random() >= each.trial.shadow_share:  # noqa: S311
                continue
            if self._waiting + len(each.answered.examples) > MAX_SHADOWS:
                self._drop(each)
                continue
            self._shadows.append(each)
            self._waiting += len(each.answered.examples)

    def _drop(self, shadow: _Shadow) -> None:
        self.counts[shadow.champion.use_case.name, "dropped"] += len(shadow.answered.examples)

    def _count(self, champion: LoadedVersion, rows: _Rows) -> None:
        name = champion.use_case.name
        for (number, served_as), (_, answered) in rows.items():
            if number == champion.number:
                continue
            for each in answered:
                failed = isinstance(each.outcome, Exception)
                fate: Fate = "failed" if failed else "canary" if served_as == "canary" else "shadow"
                self.counts[name, fate] += len(each.examples)

    def _report(self, rows: _Rows, champion: LoadedVersion, trial: Trial, shadows: Sequence[_Shadow]) -> None:
        """Record once for each attempt that the challenger cannot be loaded: who judges it counts that as a failure."""
        problem = trial.problem
        if problem is None or problem is self._reported or not is_lasting(problem) or not shadows:
            return
        self._reported = problem
        entry = replace(champion.entry, model_version=trial.state.version, model_run=trial.state.entry.model_run)
        _add(rows, replace(champion, entry=entry), "shadow", beside(part_of(shadows[0].answered, [0]), problem))


def _merge(
    rows: _Rows, champion: LoadedVersion, trial: Trial, answered: Answered, canary: _Canary | None
) -> tuple[PredictionResponse, Answered | None]:
    """The answer with the challenger's predictions in it; adds what is to be recorded to `rows`.

    Returns:
        The answer, and those of its examples for which the challenger has not been tried; None: there are none.
    """
    response = response_of(answered)
    if canary is None or trial.version is None:
        _add(rows, champion, "champion", answered)
        return response, answered
    others = [number for number in range(len(answered.examples)) if number not in set(canary.numbers)]
    rest = part_of(answered, others) if others else None
    if isinstance(canary.predicted, Exception):
        _add(rows, champion, "champion", answered)
        _add(rows, trial.version, "canary", beside(canary.part, canary.predicted))
        return response, rest
    # Under the ids that the champion's predictions had, which are recorded under others.
    its = response_of(canary.part).predictions
    mine = [
        msgspec.structs.replace(each, prediction_id=own.prediction_id, model_version=trial.state.version)
        for each, own in zip(canary.predicted, its, strict=True)
    ]
    part = msgspec.structs.replace(response, model_version=trial.state.version, predictions=mine)
    _add(rows, trial.version, "canary", replace(canary.part, outcome=part))
    renamed = [msgspec.structs.replace(each, prediction_id=str(uuid4())) for each in its]
    _add(rows, champion, "shadow", beside(canary.part, renamed))
    if rest is not None:
        _add(rows, champion, "champion", rest)
    predictions = list(response.predictions)
    for number, each in zip(canary.numbers, mine, strict=True):
        predictions[number] = each
    return msgspec.structs.replace(response, predictions=predictions), rest


def _predict(
    champion: LoadedVersion, challenger: LoadedVersion, parts: Mapping[int, Answered]
) -> dict[int, list[Prediction] | Exception]:
    """What the challenger predicts of what the champion saw; without those whose features cannot be read now."""
    inputs: dict[int, ModelInputs] = {}
    failed: dict[int, Exception] = {}
    for number, part in parts.items():
        try:
            inputs[number] = inputs_of(champion, challenger, part)
        except ServiceUnavailable:
            continue
        except Exception as error:
            failed[number] = error
    predictions: dict[int, list[Prediction] | Exception] = {}
    for number, values in (answering.predict_together(challenger, inputs) | failed).items():
        if isinstance(values, Exception):
            # The champion has predicted these, so it is not the caller's fault.
            fix = "Look for what its estimator does not expect."
            predictions[number] = PredictionFailed(f"v{challenger.number} failed where the champion did not.", fix)
        else:
            part = parts[number]
            made = answering.response(challenger, inputs[number], values, part.examples, part.request.features)
            predictions[number] = made.predictions
    return predictions


def _add(rows: _Rows, version: LoadedVersion, served_as: ServedAs, answered: Answered) -> None:
    rows.setdefault((version.number, served_as), (version, []))[1].append(answered)


def _is_good(answered: Answered) -> bool:
    return isinstance(answered.outcome, PredictionResponse)
