"""The columns that tables of the lake gain by the installed version.

A table gains them by its next write in any case, and reads as if they were null until then.
"""

from __future__ import annotations

from perennial import discovery, lake
from perennial.lake import schema_evolution
from perennial.lake.schemas import TABLES


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


def add_columns() -> None:
    """Add them to every table that is there.

    Raises:
        ServiceUnavailable: the lake's database does not answer.
    """
    for identifier in missing_columns():
        lake.add_columns(identifier, TABLES[identifier.rpartition(".")[2]])


def _tables() -> list[tuple[str, str]]:
    return [(f"{owner}.{name}", name) for owner in (*discovery.names(), "_installation") for name in TABLES]
