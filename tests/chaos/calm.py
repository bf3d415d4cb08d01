"""An undisturbed life that the long tests compare theirs with, lived while they are."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from homes import Home
from life import Life
from scenarios import on_with_it, to_the_first_model
from workers import Worker


@dataclass
class Undisturbed:
    """What the stores held.

    Attributes:
        early: After `to_the_first_model`.
        late: After `on_with_it` as well.
    """

    early: dict[str, Any]
    late: dict[str, Any]


class Calm:
    """A life in a thread of its own.

    Attributes:
        worker: Whoever compares may use it too.
    """

    def __init__(self, worker: Worker, home: Home, beside: ThreadPoolExecutor) -> None:
        self.worker = worker
        self._lived = beside.submit(_live, worker, home)

    def result(self) -> Undisturbed:
        """Waits for its end."""
        return self._lived.result()


def _live(worker: Worker, home: Home) -> Undisturbed:
    home.wait()
    life = Life(worker.lane(), home)
    to_the_first_model(life)
    early = life.contents()["contents"]
    on_with_it(life)
    return Undisturbed(early, life.contents()["contents"])
