"""A small table of the lake as it is held in memory and on disk: its rows, by the files they came from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

from perennial.lake_cache.iceberg import Row

#: A table's name and the columns that are cached; no columns: all.
Key = tuple[str, tuple[str, ...]]


@dataclass(frozen=True)
class CachedTable:
    """A table as of one snapshot.

    Attributes:
        location: The metadata file of that snapshot.
        columns: The keys of each row.
        manifests: Manifest -> its data files; empty for a table that is read through pyiceberg.
        files: Data file -> its rows, which must not be changed; for a table that is read through pyiceberg all rows
            are under `location`.
    """

    location: str
    columns: tuple[str, ...]
    manifests: dict[str, list[str]] = field(default_factory=dict)
    files: dict[str, list[Row]] = field(default_factory=dict)

    def rows(self) -> Iterator[Row]:
        """All rows of the table."""
        for rows in self.files.values():
            yield from rows

    @cached_property
    def size(self) -> int:
        """Bytes in memory, by estimate."""
        return sum(
            250 + sum(50 + len(value) if isinstance(value, str) else 40 for value in row.values())
            for row in self.rows()
        )
