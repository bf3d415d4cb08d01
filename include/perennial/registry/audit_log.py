"""The audit log: who did what, from where, why, and what came of it.

Tasks and the clock are not in it: their runs, and the ledger, say what they did. Nor is who only looked.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Literal
from uuid import uuid4

from perennial import lake_cache
from perennial.errors import PerennialError
from perennial.services import secrets
from perennial.use_case.table_names import OF_INSTALLATION, TableNames

log = logging.getLogger(__name__)

Channel = Literal["page", "rest", "cli"]
Outcome = Literal["done", "refused", "failed"]
TABLE = TableNames(OF_INSTALLATION).audit_log
#: Longer texts are cut: a request may say anything.
_LONGEST = 500


@dataclass(frozen=True)
class Act:
    """One row of the log; see the table `audit_log` in docs/tables.md."""

    actor: str
    channel: Channel
    address: str
    act: str
    use_case: str
    reason: str
    outcome: Outcome
    status: int
    recorded_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    id: str = field(default_factory=lambda: uuid4().hex)


def record(act: Act) -> str:
    """Append an act. It was done already, so that it cannot be recorded does not undo it: that is logged, with the act.

    Returns:
        Why it could not be recorded; empty: it was.
    """
    import pyarrow as pa

    from perennial import lake
    from perennial.lake.schemas import AUDIT_LOG

    shown = replace(act, act=_plain(act.act), reason=_plain(act.reason), actor=_plain(act.actor))
    row = asdict(shown) | {"partition": f"{act.recorded_at.astimezone(UTC):%Y-%m}"}
    try:
        lake.append_missing(TABLE, pa.Table.from_pylist([row], schema=AUDIT_LOG), key=("id",))
    except PerennialError as error:
        log.error("Not in the audit log: %s (%s)", shown, error.problem)
        return error.problem
    return ""


def acts(use_case: str | None = None, since: datetime | None = None) -> Sequence[Act]:
    """What is recorded, oldest first.

    Args:
        use_case: Only acts that name it.
        since: Only acts recorded at this moment or later.

    Raises:
        ServiceUnavailable: the lake's catalog cannot be reached.
    """
    rows = lake_cache.records([TABLE])[TABLE]
    found = [Act(**{name: row[name] for name in Act.__dataclass_fields__}) for row in rows]
    wanted = [
        act
        for act in found
        if (use_case is None or act.use_case == use_case) and (since is None or act.recorded_at >= since)
    ]
    return sorted(wanted, key=lambda act: act.recorded_at)


def _plain(text: str) -> str:
    """Text of limited length, without control characters, what no encoding has, and logins in addresses."""
    printable = "".join(letter if letter.isprintable() else " " for letter in text)
    return secrets.redact(printable, frozenset())[:_LONGEST]
