"""What this process has used since it began: time of CPUs, memory, bytes read and written; its ended children too."""

from __future__ import annotations

import resource
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

#: Linux counts there what a process and its ended children have read and written.
_IO = Path("/proc/self/io")


@dataclass(frozen=True)
class Usage:
    """What a process has used.

    Attributes:
        cpu_seconds: Of all cores, in user and system mode.
        wall_seconds: Since it began.
        peak_bytes: The most memory that it, or one of its ended children, held at once; what it shares with the
            process that it was forked from is included.
        read_bytes, written_bytes: Handed over by calls of the operating system, of files and sockets, cached or not;
            None: the operating system does not count them.
    """

    cpu_seconds: float
    wall_seconds: float
    peak_bytes: int
    read_bytes: int | None
    written_bytes: int | None


def of_this_process() -> Usage:
    """What this process has used so far. The process of a task is that of one attempt, without a wait for a person."""
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    unit = 1 if sys.platform == "darwin" else 1024
    counted = _counted()
    return Usage(
        cpu_seconds=own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime,
        wall_seconds=max(time.time() - psutil.Process().create_time(), 0.0),
        peak_bytes=max(own.ru_maxrss, children.ru_maxrss) * unit,
        read_bytes=counted.get("rchar"),
        written_bytes=counted.get("wchar"),
    )


def _counted() -> dict[str, int]:
    try:
        lines = _IO.read_text().splitlines()
    except OSError:
        return {}
    return {name: int(value) for name, _, value in (line.partition(": ") for line in lines)}
