"""Requests that wait together are answered together, each with an outcome of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import pytest

from perennial.serving.answers import PredictionResponse
from perennial.serving.batches import Batches, Outcome
from perennial.serving.requests import PredictionRequest


class Answering:
    """Answers with the number that a request's first example holds, once it may."""

    def __init__(self) -> None:
        self.batches: list[tuple[str, list[int]]] = []
        self.started, self.may_go_on = threading.Event(), threading.Event()

    def __call__(self, use_case: str, requests: Sequence[PredictionRequest]) -> list[Outcome]:
        numbers = [request.examples[0] for request in requests]
        self.batches.append((use_case, numbers))
        self.started.set()
        assert self.may_go_on.wait(timeout=30)
        if -2 in numbers:
            raise SystemExit("the model panics")
        return [
            ValueError("negative")
            if number < 0
            else PredictionResponse(use_case=use_case, model_version=number, predictions=[])
            for number in numbers
        ]


@pytest.fixture
def answering() -> Answering:
    return Answering()


def request(number: int, examples: int = 1) -> PredictionRequest:
    return PredictionRequest([number] * examples)


async def ask_while_busy(answering: Answering, later: Sequence[tuple[str, PredictionRequest]]) -> list[Any]:
    """The outcomes of requests that come while a first one is being answered."""
    batches = Batches(answering)
    first = asyncio.ensure_future(batches.ask("a", request(0)))
    await asyncio.to_thread(answering.started.wait, 30)
    waiting = [asyncio.ensure_future(batches.ask(*each)) for each in later]
    await asyncio.sleep(0)
    answering.may_go_on.set()
    assert (await first).model_version == 0
    return list(await asyncio.gather(*waiting, return_exceptions=True))


def test_requests_of_one_turn_go_together(answering: Answering) -> None:
    async def ask() -> list[PredictionResponse]:
        answering.may_go_on.set()
        batches = Batches(answering)
        return await asyncio.gather(*(batches.ask("a", request(number)) for number in range(5)))

    assert [each.model_version for each in asyncio.run(ask())] == [0, 1, 2, 3, 4]
    assert answering.batches == [("a", [0, 1, 2, 3, 4])]


def test_requests_of_turns_that_follow_one_another_go_together(answering: Answering) -> None:
    answering.may_go_on.set()

    async def ask() -> None:
        batches, waiting = Batches(answering), []
        for number in range(4):
            waiting.append(asyncio.ensure_future(batches.ask("a", request(number))))
            await asyncio.sleep(0)
        await asyncio.gather(*waiting)

    asyncio.run(ask())
    assert answering.batches == [("a", [0, 1, 2, 3])]


def test_requests_that_keep_coming_are_answered_all_the_same(answering: Answering) -> None:
    answering.may_go_on.set()

    async def ask() -> None:
        batches, waiting = Batches(answering), []
        while not answering.started.is_set():
            assert len(waiting) < 10_000
            waiting.append(asyncio.ensure_future(batches.ask("a", request(len(waiting)))))
            await asyncio.sleep(0)
        await asyncio.gather(*waiting)

    asyncio.run(ask())
    assert len(answering.batches) > 1


def test_what_comes_meanwhile_is_the_next_batch(answering: Answering) -> None:
    later = [("a", request(1)), ("b", request(2)), ("a", request(3))]
    answers = asyncio.run(ask_while_busy(answering, later))
    assert [(each.use_case, each.model_version) for each in answers] == [("a", 1), ("b", 2), ("a", 3)]
    assert answering.batches == [("a", [0]), ("a", [1, 3]), ("b", [2])]


def test_a_batch_has_no_more_examples_than_a_request_may(answering: Answering) -> None:
    later = [("a", request(1, examples=600)), ("a", request(2, examples=400)), ("a", request(3)), ("a", request(4))]
    asyncio.run(ask_while_busy(answering, later))
    assert answering.batches[1:] == [("a", [1, 2]), ("a", [3, 4])]


def test_an_error_is_that_of_its_request(answering: Answering) -> None:
    answers = asyncio.run(ask_while_busy(answering, [("a", request(1)), ("a", request(-1))]))
    assert answers[0].model_version == 1
    assert isinstance(answers[1], ValueError)


def test_the_thread_survives_whatever_is_raised(answering: Answering) -> None:
    later = [("a", request(-2)), ("b", request(5))]
    panicked, answered = asyncio.run(ask_while_busy(answering, later))
    assert str(panicked) == "SystemExit: the model panics"
    assert answered.model_version == 5


def test_a_request_that_was_given_up_disturbs_no_other(answering: Answering) -> None:
    async def ask() -> PredictionResponse:
        batches = Batches(answering)
        asks = [asyncio.ensure_future(batches.ask("a", request(number))) for number in (1, 2)]
        await asyncio.to_thread(answering.started.wait, 30)
        asks[0].cancel()
        answering.may_go_on.set()
        return await asks[1]

    assert asyncio.run(ask()).model_version == 2


def test_what_may_be_done_later_is_done_when_nothing_waits(answering: Answering) -> None:
    answering.may_go_on.set()
    called, seen = threading.Event(), []

    def idle() -> float | None:
        seen.append(len(answering.batches))
        if len(seen) == 3:
            called.set()
            return None
        return 0.01

    async def ask() -> None:
        assert (await Batches(answering, idle).ask("a", request(1))).model_version == 1
        assert await asyncio.to_thread(called.wait, 30)

    asyncio.run(ask())
    assert seen == [1, 1, 1], "after the answer, and again without another request"
