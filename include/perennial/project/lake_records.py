"""The columns that tables of the lake gain by the installed version.

A table gains them by its next write in any case, and reads as if they were null until then.
"""

from __future__ import annotations

from perennial import discovery, lake
from perennial.lake import schema_evolution
from perennial.lake.schemas import TABLES
from perennial.use_case.table_names import OF_INSTALLATION


def missing_columns() -> dict[str, list[str]]:
    """`<use_case>.<table>` -> columns that the installed version records and the table lacks.

    Raises:
        ServiceUnavailable: the lake's database does not answer.
    """
    missing = {}
    for identifier, name in _tables():
        table = lake.table(identifier)
        if table is not None:
            there = set(schema_evolution.schema(table).names)
            if absent := [column for column in TABLES[name].names if column not in there]:
                missing[identifier] = absent
    return missing


def add_columns() -> dict[str, list[str]]:
    """Add them to every table that is there; what was added, as `missing_columns` gives it.

    Raises:
        ServiceUnavailable: the lake's database does not answer.
    """
    missing = missing_columns()
    for identifier in missing:
        lake.add_columns(identifier, TABLES[identifier.rpartition(".")[2]])
    return missing


def _tables() -> list[tuple[str, str]]:
    return [(f"{owner}.{name}", name) for owner in (*discovery.names(), OF_INSTALLATION) for name in TABLES]
