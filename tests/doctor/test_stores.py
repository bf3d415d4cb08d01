"""What the doctor says of stores that are out of reach."""

from __future__ import annotations

from examined import Examine


def test_stores_out_of_reach(examine_with: Examine) -> None:
    findings = examine_with(
        *("PostgreSQL", "Online store", "MLflow", "Lake"),
        PERENNIAL_DATABASE="postgresql+psycopg2://ada:correct-horse@127.0.0.1:9/x",
        PERENNIAL_ONLINE_STORE="redis://:battery-staple@127.0.0.1:9/0",
        PERENNIAL_MLFLOW_URI="http://grace:top-secret@127.0.0.1:9",
        PERENNIAL_WAREHOUSE="/proc/lake",
    )
    assert {findings[name].state for name in ("PostgreSQL", "Online store", "MLflow")} == {"failed"}
    assert "PERENNIAL_DATABASE" in findings["PostgreSQL"].fix
