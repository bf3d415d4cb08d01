"""Notifications through a real PostgreSQL: they arrive at once, and nothing depends on them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from perennial import discovery
from perennial.registry import ledger
from perennial.services import notifications, postgres
from perennial.settings import settings


def wait_until(is_so: Callable[[], bool]) -> float:
    """How long it took, in seconds."""
    began = time.monotonic()
    while not is_so():
        assert time.monotonic() - began < 60
        time.sleep(0.005)
    return time.monotonic() - began


@pytest.fixture
def changes(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """When a listener heard of changes; it is connected when the test begins."""
    monkeypatch.setattr(notifications, "_PATIENCE", 0.2)
    heard: list[float] = []
    ended = threading.Event()
    arguments = (notifications.LEDGER, lambda: heard.append(time.monotonic()), ended)
    thread = threading.Thread(target=notifications.listen, args=arguments)
    thread.start()
    wait_until(lambda: bool(heard))
    yield heard
    ended.set()
    thread.join(timeout=30)
    assert not thread.is_alive()


def test_an_entry_of_the_ledger_is_heard_of_at_once(changes: list[float]) -> None:
    use_case = discovery.load("flights").model_copy(update={"name": "heard"})
    ledger.record(
        use_case,
        partition="2013-02",
        action="promoted",
        model_version=1,
        previous_version=None,
        model_run="run",
        effective_from=use_case.partition("2013-02").end,
        actor="ada",
        reason="because",
        evidence={},
    )
    wait_until(lambda: len(changes) > 1)


def test_what_came_while_nobody_listened_is_looked_for(changes: list[float]) -> None:
    with postgres.engine("lake").connect() as connection:
        others = "FROM pg_stat_activity WHERE datname = 'lake' AND pid <> pg_backend_pid()"
        assert connection.execute(text(f"SELECT count(pg_terminate_backend(pid)) {others}")).scalar_one() > 0
    wait_until(lambda: len(changes) > 1)
    before = len(changes)
    notifications.notify(notifications.LEDGER, "flights")
    wait_until(lambda: len(changes) > before)


def test_without_a_server_nothing_is_raised(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setenv("PERENNIAL_DATABASE", "postgresql://perennial:hidden@127.0.0.1:9")
    settings.cache_clear()
    postgres.engine.cache_clear()
    try:
        notifications.notify(notifications.LEDGER, "flights")
        ended = threading.Event()
        thread = threading.Thread(target=notifications.listen, args=(notifications.LEDGER, ended.set, ended))
        thread.start()
        wait_until(lambda: "Changes are noticed later" in caplog.text)
        ended.set()
        thread.join(timeout=30)
        assert not thread.is_alive()
    finally:
        monkeypatch.undo()
        settings.cache_clear()
        postgres.engine.cache_clear()
    assert "Nobody could be notified of a change of flights" in caplog.text
    assert "hidden" not in caplog.text
