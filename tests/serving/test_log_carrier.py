"""The thread that carries a server's log: at once, again and again, and a last time."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from perennial.errors import ServiceUnavailable
from perennial.served_predictions import carrying
from perennial.serving import log_carrier
from perennial.serving.log_carrier import LogCarrier


def wait_for(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.fixture
def carried(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The folders that were carried, in order."""
    folders: list[Path] = []
    monkeypatch.setattr(carrying, "carry", lambda folder: folders.append(folder) or 0)
    return folders


def test_it_carries_when_it_starts_and_when_it_ends(carried: list[Path], tmp_path: Path) -> None:
    carrier = LogCarrier(tmp_path)
    carrier.start()
    wait_for(lambda: len(carried) == 1)
    carrier.end()
    assert carried == [tmp_path, tmp_path]


def test_it_carries_again_and_again(carried: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_carrier, "EVERY", 0.01)
    carrier = LogCarrier(tmp_path)
    carrier.start()
    wait_for(lambda: len(carried) >= 4)
    carrier.end()


def test_what_never_ends_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_carrier, "_LAST_SECONDS", 0.05)
    released = threading.Event()
    monkeypatch.setattr(carrying, "carry", lambda folder: int(released.wait(30)))
    carrier = LogCarrier(tmp_path)
    carrier.start()
    started = time.monotonic()
    carrier.end()
    assert time.monotonic() - started < 10
    released.set()


def test_an_outage_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="perennial.serving")
    is_away = True

    def carry(folder: Path) -> int:
        if is_away:
            raise ServiceUnavailable("PostgreSQL does not answer.")
        return 3

    monkeypatch.setattr(carrying, "carry", carry)
    carrier = LogCarrier(tmp_path)
    carrier.carry()
    carrier.carry()
    is_away = False
    carrier.carry()
    said = [each.getMessage() for each in caplog.records]
    assert len(said) == 3
    assert "they wait" in said[0]
    assert said[1:] == [
        "The lake takes served predictions again.",
        "3 served predictions were carried into the lake.",
    ]
