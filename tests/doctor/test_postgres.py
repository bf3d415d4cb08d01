"""What the doctor says of PostgreSQL and the databases in it."""

from __future__ import annotations

import os
from pathlib import Path

from examined import SLEEP, Examine

from perennial.embedded import postgres, processes


def test_postgres_running_then_stopped_under_the_others(home: Path, looked_at: Examine) -> None:
    postgres.start()
    found = looked_at("PostgreSQL", "Catalog")
    assert (found["PostgreSQL"].state, found["Databases"].state) == ("passed", "warning")
    assert found["Catalog"].state == "failed", "there is no database for it"
    postgres.create_databases()
    found = looked_at("PostgreSQL", "Catalog")
    assert {found[name].state for name in ("PostgreSQL", "Databases", "Clock")} == {"passed"}
    assert found["Catalog"].state == "not applicable"
    postgres.stop()
    assert looked_at("PostgreSQL")["PostgreSQL"].state == "not applicable", "nothing runs that needs it"
    processes.start("mlflow", SLEEP, os.environ)
    found = looked_at("PostgreSQL", "Catalog")
    assert (found["PostgreSQL"].state, found["Catalog"].state) == ("failed", "failed")
    assert "mlflow do, and need it" in found["PostgreSQL"].message
    assert "perennial up" in found["PostgreSQL"].fix
