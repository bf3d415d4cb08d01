"""Checks that what was answered gets from the prediction server's log into the lake."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from perennial.doctor.finding import Finding, not_applicable, passed, warning
from perennial.served_predictions import carrying, segments

_NAME = "Log of predictions"
#: The server carries it once a minute.
_LONG = timedelta(minutes=10)


def log() -> Iterator[Finding]:
    """What waits in the log of this home, since when, and whether something of it was damaged."""
    folder = segments.log_folder()
    if not folder.is_dir():
        yield not_applicable(_NAME, "no prediction was answered from this home yet")
        return
    waiting = carrying.backlog(folder)
    if waiting.set_aside:
        yield warning(
            _NAME,
            f"{waiting.set_aside} of its files were set aside as {folder}/*{carrying.SET_ASIDE}",
            "The log of `perennial serve` says what could not be carried. A file without that ending is carried again.",
        )
    if waiting.oldest is not None and datetime.now(UTC) - waiting.oldest > _LONG:
        since = f"{waiting.oldest:%Y-%m-%d %H:%M} UTC"
        yield warning(
            _NAME,
            f"{waiting.records:,} predictions since {since} are not in the lake",
            "`perennial serve` carries them, as soon as the lake answers.",
        )
    elif not waiting.set_aside:
        yield passed(_NAME, f"{waiting.records:,} predictions wait for the lake")
