"""What carries a server's log: at once, again and again, and a last time."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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


@contextmanager
def running(folder: Path) -> Iterator[None]:
    """A carrier, in a thread that has ended after the block."""
    ended = threading.Event()
    thread = threading.Thread(target=LogCarrier(folder).run, args=[ended])
    thread.start()
    yield
    ended.set()
    thread.join(timeout=30)
    assert not thread.is_alive()


def test_it_carries_when_it_starts_and_when_it_ends(carried: list[Path], tmp_path: Path) -> None:
    with running(tmp_path):
        wait_for(lambda: len(carried) == 1)
    assert carried == [tmp_path, tmp_path]


def test_it_carries_again_and_again(carried: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_carrier, "EVERY", 0.01)
    with running(tmp_path):
        wait_for(lambda: len(carried) >= 4)


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
