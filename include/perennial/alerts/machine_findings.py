"""What is wrong with this machine: disks that are nearly full."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from perennial.alerts.findings import Ending, Finding, Reading, page
from perennial.alerts.incidents import INSTALLATION, Incident, Reason, Subject
from perennial.settings import settings

REASONS: frozenset[Reason] = frozenset({"disk"})
#: With less free than a share of the disk, and less than so many bytes, it is nearly full; below the second pair
#: nothing may be written soon.
WARNING, CRITICAL = (0.1, 20e9), (0.03, 2e9)
#: By how much more has to be free before that is over.
MARGIN = 1.25


def read(known: Sequence[Incident]) -> Reading:
    """The disks of home, lake and training sets, as far as they are this machine's.

    Args:
        known: The installation's incidents.
    """
    still_open = {each.subject for each in known if each.is_open}
    where = settings()
    roots = {"home": where.home, "lake": _local(where.warehouse), "training sets": _local(where.training_sets)}
    by_device: dict[int, list[str]] = {}
    places: dict[int, Path] = {}
    for name, root in roots.items():
        if root is not None:
            existing = next(each for each in (root.absolute(), *root.absolute().parents) if each.exists())
            by_device.setdefault(existing.stat().st_dev, []).append(name)
            places[existing.stat().st_dev] = existing
    readings = []
    for device, names in by_device.items():
        usage = shutil.disk_usage(places[device])
        if usage.total:  # Not of /proc and the like.
            about = Subject("disk", ", ".join(names))
            readings.append(judge(about, usage.free, usage.total, is_open=about in still_open))
    return sum(readings, Reading(read=REASONS))


def judge(about: Subject, free: float, total: float, *, is_open: bool) -> Reading:
    """Whether a disk is nearly full.

    Args:
        about: The disk, by what is on it.
        free: Bytes that are free.
        total: Bytes that it has.
        is_open: There is an open incident of it: more has to be free before it is closed.
    """
    margin = MARGIN if is_open else 1.0
    evidence = {"free_bytes": free, "total_bytes": total}
    is_full = [free < share * margin * total and free < limit * margin for share, limit in (CRITICAL, WARNING)]
    if not any(is_full):
        return Reading(endings={about: Ending(f"{free / 1e9:.1f} GB of {total / 1e9:.1f} GB are free", evidence)})
    limit = CRITICAL if is_full[0] else WARNING
    finding = Finding(
        *about,
        "critical" if is_full[0] else "warning",
        f"less than {min(limit[0] * total, limit[1]) / 1e9:.3g} GB are free on the disk of {about.name}",
        "When it is full, no task and no server can write, and runs fail.",
        "Free some, or move it: docs/operations.md says what grows.",
        page(INSTALLATION),
        evidence,
    )
    return Reading((finding,))


def _local(where: str) -> Path | None:
    path = where.removeprefix("file://")
    return None if "://" in path else Path(path)
