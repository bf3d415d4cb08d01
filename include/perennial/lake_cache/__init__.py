"""Reads small lake tables in milliseconds, for pages and `perennial status`: without importing pyiceberg, and cached.

Rows are always those of the tables' current snapshots: the catalog is asked each time (`catalog`). The files it names
never change, so each is read once (`iceberg`) and cached (`memory`, `on_disk`); after a commit only the new files are
read. Tables in an object store or with delete files are read through `perennial.lake`, which gives the same rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from perennial.lake_cache import memory
from perennial.lake_cache.catalog import locations

__all__ = ["metadata_locations", "records"]


def records(
    identifiers: Sequence[str], columns: Mapping[str, Sequence[str]] | None = None
) -> dict[str, list[dict[str, Any]]]:
    """All rows of small tables, as `lake.records` gives them; none of a table that does not exist.

    For many tables, the catalog is asked once and files of one schema are read together. May be called from several
    threads. Times are UTC.

    Args:
        identifiers: Which tables.
        columns: Table -> the columns to read of it; one that it does not have is null. Each choice of columns is cached
            by itself.

    Raises:
        ServiceUnavailable: the catalog's database cannot be reached.
        DamagedFile: a file of a table cannot be read.
    """
    selected = columns or {}
    where = locations(identifiers)
    keys = {name: (name, tuple(selected.get(name, ()))) for name in identifiers if name in where}
    tables = memory.current({key: where[name] for name, key in keys.items()})
    return {
        name: [row.copy() for row in tables[keys[name]].rows()] if name in keys else []
        for name in dict.fromkeys(identifiers)
    }


def metadata_locations(identifiers: Sequence[str]) -> dict[str, str]:
    """The address of the current metadata file of each table that exists; it changes with every commit.

    What was computed from a table's rows may be kept as long as the address is the same.

    Raises:
        ServiceUnavailable: the catalog's database cannot be reached.
    """
    return locations(identifiers)
