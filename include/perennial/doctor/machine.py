"""Checks of the machine: the home's permissions, space on the disks, memory, cores."""

from __future__ import annotations

import os
import shlex
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil

from perennial._common import private_home
from perennial.doctor.finding import Finding, failed, not_applicable, passed, warning
from perennial.embedded.status import embeds_airflow, running
from perennial.settings import settings

_GB = 1e9
#: The flights of a year, replayed, leave 0.35 GB in a home, PostgreSQL's own files included; Airflow's logs and
#: PostgreSQL's write-ahead log need as much again.
_REPLAY_GB = 0.7
#: With less space than this many times the need there is a warning.
_COMFORT = 4
#: A scheduler, an API server, a dag-processor, a triggerer, MLflow and a prediction server take 2.3 GB together, a task
#: 0.5 GB.
_SERVERS_GB, _TASK_GB = 2.3, 0.5
#: Files with secrets, below the home.
_SECRETS = ("login.json", "keys.json", "serving_tokens.json", "airflow/passwords.json", "mlflow/auth.ini")


def home() -> Iterator[Finding]:
    """Whether the home can be written, and entered by nobody else."""
    where = settings().home
    existing = next(each for each in (where, *where.parents) if each.exists())
    if not existing.is_dir():
        yield failed("Home", f"{existing} is not a folder", "Move it away, or set PERENNIAL_HOME.")
        return
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        fix = f"Change the owner of {existing}, or set PERENNIAL_HOME."
        yield failed("Home", f"{existing} cannot be written: {error.strerror}", fix)
        return
    if existing != where:
        yield passed("Home", f"{where} can be made")
    elif private_home.open_to_others(where):
        yield failed("Home", f"others may enter {where} and read what is in it", _close(where))
    elif private_home.is_shared(where):
        yield passed("Home", f"{where} can be written, also by its group: it has mode 2770")
    else:
        yield passed("Home", f"{where} can be written, and entered by its owner only")


def _close(home: Path) -> str:
    """How to close the home to others."""
    if home.stat().st_mode & stat.S_ISVTX:
        return "Set PERENNIAL_HOME to a folder of your own: this one is for all users of the machine."
    return f"`chmod go-rwx {shlex.quote(str(home))}`, which `perennial up` does in a home of its own making."


def secrets() -> Iterator[Finding]:
    """Whether only the owner can read the files with secrets."""
    where = settings().home
    files = [where / name for name in _SECRETS if (where / name).exists()]
    if not files:
        yield not_applicable("Secrets", "none were generated yet")
        return
    foreign = [file for file in files if file.stat().st_uid != os.getuid() and os.getuid() != 0]
    if foreign:
        fix = "Run Perennial as that user, or set PERENNIAL_HOME to a home of your own."
        yield failed("Secrets", f"{', '.join(map(str, foreign))} belong to another user", fix)
    open_ones = [file for file in files if stat.S_IMODE(file.stat().st_mode) & 0o077]
    if open_ones:
        names = " ".join(map(str, open_ones))
        yield failed(
            "Secrets",
            f"others may read {names}",
            f"`chmod 600 {names}`; then change the secrets that they may have read.",
        )
    elif not foreign:
        yield passed("Secrets", f"{len(files)} files, readable by their owner only")


def disk() -> Iterator[Finding]:
    """Whether the disks of home, lake and training sets have space for a replay of a year."""
    where = settings()
    roots = {"home": where.home, "lake": _local(where.warehouse), "training sets": _local(where.training_sets)}
    by_device: dict[int, list[str]] = {}
    places: dict[int, Path] = {}
    for name, root in roots.items():
        if root is not None:
            existing = next(each for each in (root, *root.absolute().parents) if each.exists())
            by_device.setdefault(existing.stat().st_dev, []).append(name)
            places[existing.stat().st_dev] = existing
    for device, names in by_device.items():
        usage = shutil.disk_usage(places[device])
        if not usage.total:  # Not a disk, such as /proc; whether it can be written is another check.
            continue
        free = usage.free / _GB
        message = f"{free:.1f} GB free for {', '.join(names)}; a year of the example takes {_REPLAY_GB} GB"
        if free < _REPLAY_GB:
            yield failed("Disk", message, "Free some, or set PERENNIAL_HOME to a larger disk.")
        elif free < _REPLAY_GB * _COMFORT:
            yield warning("Disk", message, "Free some before a replay of a larger use case.")
        else:
            yield passed("Disk", message)


def memory() -> Iterator[Finding]:
    """Whether there is memory for servers and tasks, and whether the cores are enough for the tasks that may run."""
    where = settings()
    limit = _limit()
    free = min(psutil.virtual_memory().available, limit) / _GB
    already = bool(running())
    needed = where.parallelism * _TASK_GB + (0 if already or not embeds_airflow(where) else _SERVERS_GB)
    message = f"{free:.1f} GB available; {needed:.1f} GB are needed" + (
        " beside the running servers" if already else ""
    )
    if free < needed / 2:
        yield failed("Memory", message, "End other programs, or lower PERENNIAL_PARALLELISM.")
    elif free < needed:
        yield warning("Memory", message, "Lower PERENNIAL_PARALLELISM if tasks are killed.")
    else:
        yield passed("Memory", message)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    message = f"{cores} for up to {where.parallelism} tasks at once"
    if where.parallelism > cores * 4:
        yield warning("Cores", message, f"Lower PERENNIAL_PARALLELISM to about {2 * cores}.")
    else:
        yield passed("Cores", message)


def _local(where: str) -> Path | None:
    path = where.removeprefix("file://")
    return None if "://" in path else Path(path)


def _limit() -> int:
    """The memory limit of this container or service, in bytes."""
    for file in (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes")):
        try:
            return int(file.read_text())
        except (OSError, ValueError):
            continue
    return 2**62
