"""The names of a use case's tables in the lake: its records, its examples and predictions, its raw and feature tables.

Existing lakes contain them, so they never change. The columns of the records are in `perennial.lake.schemas`.
"""

from __future__ import annotations

from dataclasses import dataclass


class _Reserved:
    """A table that every use case has: an attribute whose value is the table's full name."""

    def __set_name__(self, owner: type[TableNames], name: str) -> None:
        self._name = name

    def __get__(self, tables: TableNames, owner: type[TableNames]) -> str:
        return tables[self._name]


@dataclass(frozen=True)
class TableNames:
    """The full names of one use case's lake tables: `use_case.tables.ledger`, `use_case.tables["weather"]`."""

    use_case: str

    # Their columns come from the use case's data.
    examples = _Reserved()
    predictions = _Reserved()
    served_predictions = _Reserved()
    # Records, whose columns are fixed: `perennial.lake.schemas.TABLES`.
    validations = _Reserved()
    quarantine = _Reserved()
    refused_batches = _Reserved()
    quarantine_decisions = _Reserved()
    batches = _Reserved()
    computations = _Reserved()
    refreshes = _Reserved()
    publications = _Reserved()
    parity = _Reserved()
    metrics = _Reserved()
    backtests = _Reserved()
    drift = _Reserved()
    verdicts = _Reserved()
    requests = _Reserved()
    ledger = _Reserved()
    model_files = _Reserved()
    incidents = _Reserved()
    deliveries = _Reserved()
    run_costs = _Reserved()
    audit_log = _Reserved()

    def __getitem__(self, table: str) -> str:
        """The full name of the use case's table `table`: a raw or feature table, or one of the reserved names."""
        return f"{self.use_case}.{table}"


#: In place of a use case's name: records of the installation. No use case's name begins like this.
OF_INSTALLATION = "_installation"
#: Names that no raw or feature table may have.
RESERVED = frozenset(name for name, value in vars(TableNames).items() if isinstance(value, _Reserved))
