"""Reading small tables of the lake at a glance: what pages and `perennial status` need, without the seconds of
importing pyiceberg, SQLAlchemy and pandas.

Every answer is that of the tables' current snapshots: the catalog is asked each time. What it names never changes, so
it is read once and kept (`perennial.lake_cache.kept`); after a commit only the files that came with it are read.
Whatever is off Iceberg's shortest path (another catalog, an object store, files of deletes) goes through
`perennial.lake`, which gives the same rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from perennial.lake_cache import kept
from perennial.lake_cache.catalog import locations

__all__ = ["metadata_locations", "records"]


def records(
    identifiers: Sequence[str], columns: Mapping[str, Sequence[str]] | None = None
) -> dict[str, list[dict[str, Any]]]:
    """All rows of small tables, as `lake.records` gives them; none of a table that does not exist.

    Asked for many tables at once, it asks the catalog once and reads files of one kind together. May be called from
    several threads. Times are UTC.

    Args:
        identifiers: Which tables.
        columns: Of a table named here only these; one that it does not have is null. What is kept is kept for each
            choice of columns by itself.

    Raises:
        ServiceUnavailable: the catalog's database cannot be reached.
        DamagedFile: a file of a table cannot be read.
    """
    wanted = columns or {}
    where = locations(identifiers)
    keys = {name: (name, tuple(wanted.get(name, ()))) for name in identifiers if name in where}
    held = kept.current({key: where[name] for name, key in keys.items()})
    return {
        name: [row.copy() for row in held[keys[name]].rows()] if name in keys else []
        for name in dict.fromkeys(identifiers)
    }


def metadata_locations(identifiers: Sequence[str]) -> dict[str, str]:
    """Of each table that exists what changes with every commit to it: whoever computed something from its rows may keep
    that until then.

    Raises:
        ServiceUnavailable: the catalog's database cannot be reached.
    """
    return locations(identifiers)
