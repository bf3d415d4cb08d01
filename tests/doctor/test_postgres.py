"""What the doctor says of PostgreSQL and the databases in it."""

from __future__ import annotations

import os
from pathlib import Path

from examined import SLEEP, Examine

from perennial.embedded import postgres, processes


def test_postgres_running_then_stopped_under_the_others(home: Path, examine_with: Examine) -> None:
    postgres.start()
    findings = examine_with("PostgreSQL", "Catalog")
    assert (findings["PostgreSQL"].state, findings["Databases"].state) == ("passed", "warning")
    assert findings["Catalog"].state == "failed", "there is no database for it"
    postgres.create_databases()
    findings = examine_with("PostgreSQL", "Catalog")
    assert {findings[name].state for name in ("PostgreSQL", "Databases", "Clock")} == {"passed"}
    assert findings["Catalog"].state == "not applicable"
    postgres.stop()
    assert examine_with("PostgreSQL")["PostgreSQL"].state == "not applicable", "nothing runs that needs it"
    processes.start("mlflow", SLEEP, os.environ)
    findings = examine_with("PostgreSQL", "Catalog")
    assert (findings["PostgreSQL"].state, findings["Catalog"].state) == ("failed", "failed")
    assert "mlflow do, and need it" in findings["PostgreSQL"].message
    assert "perennial up" in findings["PostgreSQL"].fix
