"""The names of a use case's lake tables, which are reserved, and whose rows have the schemas of our records."""

from __future__ import annotations

from perennial.lake import schemas
from perennial.use_case.table_names import RESERVED, TableNames


def test_the_stored_names_never_change() -> None:
    # These names are in people's lakes, so they are spelled out here and nowhere else.
    names = (
        "audit_log backtests batches computations deliveries drift examples incidents ledger metrics model_files parity"
    )
    names += " predictions publications quarantine quarantine_decisions refreshes refused_batches requests"
    names += " run_costs"
    names += " served_predictions validations verdicts"
    assert sorted(RESERVED) == names.split()
    tables = TableNames("flights")
    assert [getattr(tables, name) for name in sorted(RESERVED)] == [f"flights.{name}" for name in names.split()]
    assert tables["weather"] == "flights.weather"


def test_every_record_table_has_a_schema_and_a_name() -> None:
    assert {"examples", "predictions", "served_predictions"} | set(schemas.TABLES) == RESERVED
