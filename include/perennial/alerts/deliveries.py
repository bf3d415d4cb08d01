"""The record of deliveries: which route has told of which event, what failed, and how often.

Light to import.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from perennial import lake_cache
from perennial.use_case.table_names import OF_INSTALLATION, TableNames

State = Literal["begun", "summed-up", "sent", "failed"]
#: The incident of test messages.
TEST = "test"
_HOUR = timedelta(hours=1)
#: The pause after a first failure; each further one doubles it.
_FIRST_PAUSE = timedelta(minutes=1)
_LONGEST_PAUSE = _HOUR


@dataclass(frozen=True)
class Delivery:
    """One row of the record; see the table `deliveries` in docs/tables.md."""

    route: str
    incident: str
    sequence: int
    use_case: str
    key: str
    message: str
    attempt: int
    state: State
    error: str
    recorded_at: datetime


class History:
    """What one route has done, from its rows, oldest first."""

    def __init__(self, rows: Sequence[Delivery]) -> None:
        self.rows = sorted(rows, key=lambda row: row.recorded_at)
        self._by_key: dict[str, list[Delivery]] = {}
        for row in self.rows:
            if row.incident != TEST:
                self._by_key.setdefault(row.key, []).append(row)

    @property
    def begun(self) -> datetime | None:
        """Since when the route is there; None: it has never been used."""
        return next((row.recorded_at for row in self.rows if row.state == "begun"), None)

    def of(self, key: str) -> list[Delivery]:
        """What was recorded of one event, oldest first."""
        return self._by_key.get(key, [])

    def is_sent(self, key: str) -> bool:
        """Whether an event was told."""
        return any(row.state == "sent" for row in self.of(key))

    @property
    def last_sent(self) -> Delivery | None:
        """The newest that was sent, a test included; None: none was."""
        return next((row for row in reversed(self.rows) if row.state == "sent"), None)

    @property
    def failures(self) -> list[Delivery]:
        """The failed attempts since something was last sent, oldest first; one for each message and attempt."""
        since: dict[tuple[str, int], Delivery] = {}
        for row in self.rows:
            if row.state == "sent":
                since.clear()
            elif row.state == "failed":
                since.setdefault((row.message, row.attempt), row)
        return list(since.values())

    def sent_within_an_hour(self, now: datetime) -> int:
        """How many messages were sent in the hour before `now` (UTC); tests do not count."""
        return len(
            {
                row.message
                for row in self.rows
                if row.state == "sent" and row.incident != TEST and now - _HOUR < row.recorded_at <= now
            }
        )


def pause(failures: int) -> timedelta:
    """How long to wait after so many failures one after another: 1 minute, 2, 4, and so on, at most an hour."""
    return min(_FIRST_PAUSE * 2 ** min(failures - 1, 10), _LONGEST_PAUSE)


def is_pausing(failed: datetime, failures: int, now: datetime) -> bool:
    """Whether the pause after a failure is not over; a failure that a wrong clock dated later makes none.

    Args:
        failed: When the last attempt failed (UTC).
        failures: How many have failed one after another.
        now: UTC.
    """
    return failed <= now < failed + pause(failures)


def table() -> str:
    """The lake table of deliveries, one for the installation."""
    return TableNames(OF_INSTALLATION).deliveries


def histories(routes: Sequence[str]) -> dict[str, History]:
    """What each route has done, by its name.

    Args:
        routes: Names.

    Raises:
        ServiceUnavailable: the lake's catalog cannot be reached.
    """
    rows = [_delivery(row) for row in lake_cache.records([table()])[table()]]
    return {name: History([row for row in rows if row.route == name]) for name in routes}


def _delivery(row: dict[str, Any]) -> Delivery:
    return Delivery(**{name: row[name] for name in Delivery.__dataclass_fields__})


def append(rows: Sequence[Delivery]) -> None:
    """Record attempts, in one commit; what is recorded already is not recorded again.

    Raises:
        ServiceUnavailable: the lake cannot be written.
    """
    import pyarrow as pa

    from perennial import lake
    from perennial.lake.schemas import DELIVERIES

    records = [asdict(row) | {"partition": f"{row.recorded_at.astimezone(UTC):%Y-%m}"} for row in rows]
    if records:
        identity = ("route", "key", "attempt", "state", "message")
        lake.append_missing(table(), pa.Table.from_pylist(records, schema=DELIVERIES), key=identity)
