"""Reads rows of the lake as they were known at a moment of processing time, and remembers how new they are."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from perennial import lake
from perennial.dossier.manifest import NotRecorded, as_bytes
from perennial.registry import ledger
from perennial.registry.ledger import Entry
from perennial.use_case import UseCase

Row = dict[str, Any]
#: Columns that hold JSON as text.
_JSON = ("evidence", "files")


@dataclass
class Records:
    """What is read for one dossier.

    Attributes:
        use_case: Whose.
        as_of: Processing time, UTC, that the dossier is of: rows that were recorded later are left out. None: all rows.
        until: Likewise, where a dossier of all records is compared with what has been recorded since.
        newest: `recorded_at` of the newest row that went into the dossier; None: none did yet.
        not_recorded: What was looked for and is not there.
    """

    use_case: UseCase
    as_of: datetime | None = None
    until: datetime | None = None
    newest: datetime | None = None
    not_recorded: list[NotRecorded] = field(default_factory=list)

    def is_known(self, moment: datetime | None) -> bool:
        """Whether something that happened then (processing time, UTC; None: it did not) is part of the dossier."""
        return moment is not None and all(end is None or moment <= end for end in (self.as_of, self.until))

    def rows(
        self,
        table: str,
        keep: Callable[[Row], bool],
        between: tuple[str, str] | None = None,
        *,
        is_seen: bool = True,
    ) -> list[Row]:
        """Rows of a record table, oldest first, in one order; JSON that they hold is parsed.

        Args:
            table: Full name.
            keep: Whether a row belongs into the dossier.
            between: Only partitions from the first name to the last, both included.
            is_seen: Whether all of them go into the dossier.
        """
        found = [
            {name: _parsed(name, value) for name, value in row.items()}
            for row in lake.records(table, between=between)
            if self.is_known(row[lake.RECORDED_AT]) and keep(row)
        ]
        for row in found if is_seen else ():
            self.seen(row)
        return sorted(found, key=lambda row: (row[lake.RECORDED_AT], as_bytes(row)))

    def seen(self, row: Row) -> Row:
        """The row itself, which goes into the dossier."""
        moment = row[lake.RECORDED_AT]
        self.newest = max(self.newest, moment) if self.newest else moment
        return row

    def ledger(self) -> list[Entry]:
        """The whole ledger, oldest first; its rows count as seen only where they are about the version."""
        return [entry for entry in ledger.entries(self.use_case) if self.is_known(entry.recorded_at)]

    def miss(self, what: str, why: str) -> None:
        """List something as not recorded, once."""
        if (each := NotRecorded(what, why)) not in self.not_recorded:
            self.not_recorded.append(each)


def _parsed(name: str, value: Any) -> Any:
    if name not in _JSON or not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value
