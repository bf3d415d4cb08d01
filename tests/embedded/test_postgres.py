"""The embedded PostgreSQL."""

from __future__ import annotations

import signal
from pathlib import Path

from perennial.embedded import postgres, processes
from perennial.services import postgres as database


def test_postgres_survives_being_killed(empty_home: Path) -> None:
    postgres.start()
    try:
        postgres.create_databases()
        postgres.create_databases()
        before = postgres.process()
        assert before is not None
        before.send_signal(signal.SIGKILL)
        assert processes.wait_until(lambda: not postgres.is_ready(), 20)
        postgres.start()
        with database.create_engine(database.url("lake")).connect() as connection:
            assert connection.exec_driver_sql("SELECT 1").scalar() == 1
    finally:
        assert postgres.stop()
    assert not postgres.is_ready()
    assert not postgres.stop()
