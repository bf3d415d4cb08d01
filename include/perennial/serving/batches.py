"""Answers the requests that wait together: one thread takes whatever is there, as soon as it is free.

There is no timer: a request that comes alone is answered alone, at once. While a batch is answered the next one
gathers, so batches grow with the load by themselves. The thread is woken after a turn of the event loop that brought no
further request: clients that were answered together ask again together.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue

from perennial.serving.answers import PredictionResponse
from perennial.serving.request_schema import MAX_EXAMPLES
from perennial.serving.requests import PredictionRequest

log = logging.getLogger(__name__)

#: So many turns of the event loop may go on bringing requests before the thread is woken.
_MOST_TURNS = 8
#: What becomes of each request of a batch.
Outcome = PredictionResponse | Exception
#: Answers requests to one use case.
Answer = Callable[[str, Sequence[PredictionRequest]], Sequence[Outcome]]


@dataclass(frozen=True)
class _Waiting:
    use_case: str
    request: PredictionRequest
    answered: asyncio.Future[PredictionResponse]


class Batches:
    """Requests that wait for one thread, which answers those to one use case together.

    One thread: predicting holds the interpreter's lock, and not every online store may be read by several at once.

    Args:
        answer: Called in that thread with the name of a use case and its requests; returns an outcome for each.
        idle: Called in that thread when nothing waits, for what may be done later than an answer; returns after how
            many seconds at the latest it is to be called again, None: not before the next request.
    """

    def __init__(self, answer: Answer, idle: Callable[[], float | None] | None = None) -> None:
        self._answer = answer
        self._idle = idle
        self._waiting: deque[_Waiting] = deque()
        self._woken: SimpleQueue[None] = SimpleQueue()
        self._is_waking = False
        self._arrived = 0
        self._thread: threading.Thread | None = None

    async def ask(self, use_case: str, request: PredictionRequest) -> PredictionResponse:
        """Have a request answered in its turn.

        Args:
            use_case: Which is asked.
            request: Not checked yet.

        Raises:
            Exception: the request's own, as `answer` gave it.
        """
        loop = asyncio.get_running_loop()
        waiting = _Waiting(use_case, request, loop.create_future())
        self._waiting.append(waiting)
        self._arrived += 1
        if not self._is_waking:
            self._is_waking = True
            loop.call_soon(self._wake, loop, 0, _MOST_TURNS)
        return await waiting.answered

    def _wake(self, loop: asyncio.AbstractEventLoop, seen: int, turns: int) -> None:
        if self._arrived != seen and turns:
            loop.call_soon(self._wake, loop, self._arrived, turns - 1)
            return
        self._is_waking = False
        if self._thread is None:  # Not before the first request: threads do not survive a fork.
            thread = threading.Thread(target=self._run, name="predict", daemon=True)
            thread.start()
            self._thread = thread
        self._woken.put(None)

    def _run(self) -> None:
        again: float | None = None
        while True:
            with suppress(Empty):
                self._woken.get(timeout=again)
            while self._waiting:
                taken = [self._waiting.popleft() for _ in range(len(self._waiting))]
                for batch in _batches(taken):
                    _deliver(batch, self._outcomes(batch))
            again = self._later()

    def _later(self) -> float | None:
        try:
            return self._idle() if self._idle is not None else None
        except Exception:  # As below: there are answers to give.
            log.exception("What may be done later than an answer failed")
            return None

    def _outcomes(self, batch: Sequence[_Waiting]) -> Sequence[Outcome]:
        try:
            return self._answer(batch[0].use_case, [each.request for each in batch])
        except BaseException as error:  # The thread goes on whatever a model raises, such as a panic of Rust.
            failure = error if isinstance(error, Exception) else RuntimeError(f"{type(error).__name__}: {error}")
            return [failure] * len(batch)


def _batches(waiting: Iterable[_Waiting]) -> Iterator[list[_Waiting]]:
    """Requests to one use case each, in their order, with no more examples than one request may have."""
    by_use_case: dict[str, list[_Waiting]] = {}
    for each in waiting:
        by_use_case.setdefault(each.use_case, []).append(each)
    for several in by_use_case.values():
        batch: list[_Waiting] = []
        examples = 0
        for each in several:
            if batch and examples + len(each.request.examples) > MAX_EXAMPLES:
                yield batch
                batch, examples = [], 0
            batch.append(each)
            examples += len(each.request.examples)
        yield batch


def _deliver(batch: Sequence[_Waiting], outcomes: Sequence[Outcome]) -> None:
    """Hand each outcome to who waits for it, in one call into each event loop."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[_Waiting, Outcome]]] = {}
    for each, outcome in zip(batch, outcomes, strict=True):
        by_loop.setdefault(each.answered.get_loop(), []).append((each, outcome))
    for loop, several in by_loop.items():
        with suppress(RuntimeError):  # The loop was closed: nobody waits any more.
            loop.call_soon_threadsafe(_settle, several)


def _settle(several: Sequence[tuple[_Waiting, Outcome]]) -> None:
    for each, outcome in several:
        if each.answered.done():  # Whoever asked has gone.
            continue
        if isinstance(outcome, Exception):
            each.answered.set_exception(outcome)
        else:
            each.answered.set_result(outcome)
