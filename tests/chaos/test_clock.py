"""A clock that jumps back and forth by days, between tasks and within them: data logic must not notice.

The workers run under libfaketime, which lies to every library of the process about the time of day, as a broken clock
does. Time that only passes (`CLOCK_MONOTONIC`) is not touched: no broken clock turns it back. MLflow's and PostgreSQL's
servers keep the right time, as they would on another machine.
"""

from __future__ import annotations

import platform
import random
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import libfaketime
import pytest
from homes import Home
from scenario_run import ScenarioRun, differences
from scenarios import on_with_it, to_the_first_model
from undisturbed import UndisturbedRun
from workers import Worker

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(platform.machine() != "x86_64", reason="libfaketime's wheel holds a library for x86-64"),
]
SEED = 11


class Clock:
    """A clock that is days off, each time by others, while it jumps; right before and after."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._random = random.Random(SEED)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._jump)
        self._set("+0")
        library = Path(libfaketime.__file__).parent / "vendor/libfaketime/src/libfaketime.so.1"
        self.env = {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(path),
            # A process looks into the file once a second; asked at every look at the clock it would do little else.
            "FAKETIME_CACHE_DURATION": "1",
            "DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }

    def __enter__(self) -> Clock:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()
        self._set("+0")

    def _jump(self) -> None:
        while not self._stopped.wait(self._random.uniform(0.01, 0.2)):
            self._set(f"{self._random.uniform(-9, 9):+.3f}d")

    def _set(self, offset: str) -> None:
        written = self._path.with_suffix(".new")
        written.write_text(offset + "\n")
        written.replace(self._path)


@pytest.fixture(scope="module")
def jumping(undisturbed: UndisturbedRun, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What the stores hold after a scenario whose tasks were told the time by such a clock."""
    clock, home = Clock(tmp_path_factory.mktemp("clock") / "offset"), Home()
    worker = Worker(clock.env)
    try:
        home.start()
        home.wait()
        scenario = ScenarioRun(worker.lane(), home)
        with clock:
            to_the_first_model(scenario)
            on_with_it(scenario)
        yield scenario.contents()
    finally:
        worker.close()
        home.stop()


def test_the_clock_did_jump(jumping: dict[str, Any]) -> None:
    """Otherwise the next test would prove nothing."""
    moments = [datetime.fromisoformat(moment) for moment in jumping["processing times"]]
    assert any(abs(moment - datetime.now(UTC)) > timedelta(days=1) for moment in moments)


def test_a_clock_that_jumps_changes_nothing_but_times(undisturbed: UndisturbedRun, jumping: dict[str, Any]) -> None:
    assert not differences(undisturbed.result().late, jumping["contents"])
