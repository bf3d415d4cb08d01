"""The ledger: the append-only record of who served when, and of every decision of the gate.

`effective_from` is event time: a promoted version may predict partitions that start at or after it, which is after
everything it or its gate has seen. So "the champion that held at that time" is a look-up, whenever it is asked.
Light to import: `perennial status` asks it too.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from perennial.use_case import UseCase


@dataclass(frozen=True)
class Entry:
    """One row of the ledger."""

    event_id: str
    partition: str
    action: Literal["promoted", "rejected"]
    model_version: int
    previous_version: int | None
    model_run: str
    effective_from: datetime
    actor: str
    reason: str
    evidence: dict[str, Any]
    recorded_at: datetime


def record(
    use_case: UseCase,
    *,
    partition: str,
    action: Literal["promoted", "rejected"],
    model_version: int,
    previous_version: int | None,
    model_run: str,
    effective_from: datetime,
    actor: str,
    reason: str,
    evidence: dict[str, Any],
) -> None:
    """Append one decision; a version is decided on once, however often this runs."""
    import pyarrow as pa

    from perennial import lake
    from perennial.records import LEDGER

    row = {
        "partition": partition,
        "event_id": f"gate:{model_version}",
        "action": action,
        "model_version": model_version,
        "previous_version": previous_version,
        "model_run": model_run,
        "effective_from": effective_from,
        "actor": actor,
        "reason": reason,
        "evidence": json.dumps(evidence, sort_keys=True, default=str),
        "recorded_at": datetime.now(UTC),
    }
    lake.append_missing(f"{use_case.name}.ledger", pa.Table.from_pylist([row], schema=LEDGER), key=("event_id",))


def entries(use_case: UseCase) -> list[Entry]:
    """All entries, oldest first."""
    from perennial import lake

    return parsed(lake.records(f"{use_case.name}.ledger"))


def parsed(rows: Iterable[Mapping[str, Any]]) -> list[Entry]:
    """Rows of the table `ledger` as entries, oldest first."""
    found = [Entry(**{**row, "evidence": json.loads(row["evidence"])}) for row in rows]
    return sorted(found, key=lambda entry: entry.recorded_at)


def promotions(use_case: UseCase) -> list[Entry]:
    """All promotions, oldest first; the first is the first model that ever served."""
    return _promotions(entries(use_case))


def champion_at(use_case: UseCase, moment: datetime) -> Entry | None:
    """The promotion that holds for a partition starting at `moment` (event time); None before the first one."""
    return _newest(entry for entry in promotions(use_case) if entry.effective_from <= moment)


def champion(use_case: UseCase) -> Entry | None:
    """The newest promotion; None before the first one."""
    return champion_among(entries(use_case))


def champion_among(entries: Iterable[Entry]) -> Entry | None:
    """The newest promotion among `entries`; None if there is none."""
    return _newest(_promotions(entries))


def _promotions(entries: Iterable[Entry]) -> list[Entry]:
    return [entry for entry in entries if entry.action == "promoted"]


def _newest(held: Iterable[Entry]) -> Entry | None:
    return max(held, key=lambda entry: (entry.effective_from, entry.recorded_at), default=None)
