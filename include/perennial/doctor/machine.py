"""Is the machine up to it: who may write and read what, room on the disk, memory, cores."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil

from perennial.doctor.finding import Finding, failed, not_applicable, passed, warning
from perennial.embedded.status import embeds_airflow, running
from perennial.settings import settings

_GB = 1e9
#: What the flights of a year, replayed, leave in a home is 0.35 GB, PostgreSQL's own files included; Airflow's logs and
#: the files that PostgreSQL writes ahead need as much again.
_REPLAY_GB = 0.7
#: Below this share of a disk, or that many times the need, it is time to look.
_COMFORT = 4
#: A scheduler, an API server, a dag-processor, a triggerer and MLflow take 2 GB together, a task 0.5 GB.
_SERVERS_GB, _TASK_GB = 2.0, 0.5
#: Where secrets are kept, below the home.
_SECRETS = ("login.json", "keys.json", "airflow/passwords.json", "mlflow/auth.ini")


def home() -> Iterator[Finding]:
    """Whether the home can be written."""
    where = settings().home
    there = next(each for each in (where, *where.parents) if each.exists())
    if not there.is_dir():
        yield failed("Home", f"{there} is not a folder", "Move it away, or set PERENNIAL_HOME.")
        return
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        mend = f"Change the owner of {there}, or set PERENNIAL_HOME."
        yield failed("Home", f"{there} cannot be written: {error.strerror}", mend)
        return
    yield passed("Home", f"{where} can be {'written' if there == where else 'made'}")


def secrets() -> Iterator[Finding]:
    """Whether nobody but the owner can read what is secret."""
    where = settings().home
    files = [where / name for name in _SECRETS if (where / name).exists()]
    if not files:
        yield not_applicable("Secrets", "none were generated yet")
        return
    foreign = [file for file in files if file.stat().st_uid != os.getuid() and os.getuid() != 0]
    if foreign:
        mend = "Run Perennial as that user, or set PERENNIAL_HOME to a home of your own."
        yield failed("Secrets", f"{', '.join(map(str, foreign))} belong to another user", mend)
    open_ones = [file for file in files if stat.S_IMODE(file.stat().st_mode) & 0o077]
    if open_ones:
        names = " ".join(map(str, open_ones))
        yield failed(
            "Secrets", f"others may read {names}", f"`chmod 600 {names}`; then change what they may have seen."
        )
    elif not foreign:
        yield passed("Secrets", f"{len(files)} files, readable by their owner only")


def disk() -> Iterator[Finding]:
    """Room where the home, the lake and the training sets are, against what a replay of a year takes."""
    where = settings()
    roots = {"home": where.home, "lake": _local(where.warehouse), "training sets": _local(where.training_sets)}
    seen: dict[int, list[str]] = {}
    places: dict[int, Path] = {}
    for name, root in roots.items():
        if root is not None:
            there = next(each for each in (root, *root.absolute().parents) if each.exists())
            seen.setdefault(there.stat().st_dev, []).append(name)
            places[there.stat().st_dev] = there
    for device, names in seen.items():
        usage = shutil.disk_usage(places[device])
        if not usage.total:  # No disk at all, as of /proc: whether it can be written is another question.
            continue
        free = usage.free / _GB
        said = f"{free:.1f} GB free for {', '.join(names)}; a year of the example takes {_REPLAY_GB} GB"
        if free < _REPLAY_GB:
            yield failed("Disk", said, "Free some, or set PERENNIAL_HOME to a larger disk.")
        elif free < _REPLAY_GB * _COMFORT:
            yield warning("Disk", said, "Free some before a replay of a larger use case.")
        else:
            yield passed("Disk", said)


def memory() -> Iterator[Finding]:
    """Memory against what servers and tasks take; cores against how many tasks may run at once."""
    where = settings()
    limit = _limit()
    held = psutil.virtual_memory()
    free = min(held.available, limit) / _GB
    already = bool(running())
    needed = where.parallelism * _TASK_GB + (0 if already or not embeds_airflow(where) else _SERVERS_GB)
    said = f"{free:.1f} GB available; {needed:.1f} GB are needed" + (" beside what runs" if already else "")
    if free < needed / 2:
        yield failed("Memory", said, "End other programs, or lower PERENNIAL_PARALLELISM.")
    elif free < needed:
        yield warning("Memory", said, "Lower PERENNIAL_PARALLELISM if tasks are killed.")
    else:
        yield passed("Memory", said)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    said = f"{cores} for up to {where.parallelism} tasks at once"
    if where.parallelism > cores * 4:
        yield warning("Cores", said, f"Lower PERENNIAL_PARALLELISM to about {2 * cores}.")
    else:
        yield passed("Cores", said)


def _local(where: str) -> Path | None:
    path = where.removeprefix("file://")
    return None if "://" in path else Path(path)


def _limit() -> int:
    """What the processes of this container, or service, may take in all, in bytes."""
    for file in (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes")):
        try:
            return int(file.read_text())
        except (OSError, ValueError):
            continue
    return 2**62
