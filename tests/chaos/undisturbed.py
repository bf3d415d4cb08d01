"""An undisturbed run of the scenario, in the background, with which the long tests compare theirs."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from homes import Home
from scenario_run import ScenarioRun
from scenarios import on_with_it, to_the_first_model
from workers import Worker


@dataclass
class UndisturbedContents:
    """What the stores held.

    Attributes:
        early: After `to_the_first_model`.
        late: After `on_with_it` as well.
    """

    early: dict[str, Any]
    late: dict[str, Any]


class UndisturbedRun:
    """A scenario in a thread of its own.

    Attributes:
        worker: Whoever compares may use it too.
    """

    def __init__(self, worker: Worker, home: Home, beside: ThreadPoolExecutor) -> None:
        self.worker = worker
        self._running = beside.submit(_run, worker, home)

    def result(self) -> UndisturbedContents:
        """Waits for its end."""
        return self._running.result()


def _run(worker: Worker, home: Home) -> UndisturbedContents:
    home.wait()
    scenario = ScenarioRun(worker.lane(), home)
    to_the_first_model(scenario)
    early = scenario.contents()["contents"]
    on_with_it(scenario)
    return UndisturbedContents(early, scenario.contents()["contents"])
