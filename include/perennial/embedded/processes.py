"""Background processes that outlive the command that started them, and how to stop them and nothing else.

Each started process has a record in `home/run/<name>.json` with its start time, so that a process id which the system
has reused is recognised. Each leads its own session, by which the children of a killed process are found.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

import psutil

from perennial._common import private_home
from perennial.settings import settings

#: The kernel's start time is exact; a change of the wall clock may move what psutil derives from it.
_CLOCK_TOLERANCE = 2.0
_LOG_LIMIT = 20 * 2**20


@dataclass(frozen=True)
class Record:
    """One started process. `started` is its creation time in seconds since the epoch, from the system."""

    name: str
    pid: int
    started: float

    @classmethod
    def read(cls, name: str) -> Record | None:
        """The record of `name`; None if it was never started, or was stopped."""
        try:
            return cls(**json.loads(_file(name).read_text()))
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def write(self) -> None:
        """Write the record's file, atomically."""
        file = _file(self.name)
        file.parent.mkdir(parents=True, exist_ok=True)
        draft = file.with_suffix(".draft")
        draft.write_text(json.dumps(asdict(self)))
        draft.replace(file)

    def process(self) -> psutil.Process | None:
        """The running process; None if it has ended, even if another process has its id now."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.started) <= _CLOCK_TOLERANCE
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.NoSuchProcess:
            return None

    def family(self) -> list[psutil.Process]:
        """The process and everything in the session it leads; the session may outlive the process."""
        if self.process() is None and psutil.pid_exists(self.pid) and not self._is_zombie():
            return []  # Another process has the id now, and may lead a session of its own.
        members = []
        for process in psutil.process_iter():
            with suppress(ProcessLookupError, PermissionError, psutil.Error):
                in_session = os.getsid(process.pid) == self.pid and process.status() != psutil.STATUS_ZOMBIE
                if in_session and process.create_time() >= self.started - _CLOCK_TOLERANCE:
                    members.append(process)
        return members

    def _is_zombie(self) -> bool:
        try:
            return psutil.Process(self.pid).status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False


def start(name: str, command: Sequence[str], environment: Mapping[str, str]) -> Record:
    """Start a process as the leader of its own session.

    Args:
        name: Of its record and of its log, `home/logs/<name>.log`.
        command: The program and its arguments.
        environment: All of its environment variables.
    """
    with open_log(name) as output, delay_interrupt():
        child = subprocess.Popen(
            command,
            env=dict(environment),
            cwd=settings().home,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            umask=private_home.umask(settings().home),
        )
        record = Record(name, child.pid, psutil.Process(child.pid).create_time())
        record.write()
    return record


@contextmanager
def delay_interrupt() -> Iterator[None]:
    """Raise a Ctrl-C only after the block: the process that it started has its record by then, and `down` finds it.

    Raises:
        KeyboardInterrupt: Ctrl-C was pressed during the block.
    """
    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_IGN or threading.current_thread() is not threading.main_thread():
        yield
        return
    received: list[int] = []
    # A handler, not a mask: a child would inherit that.
    signal.signal(signal.SIGINT, lambda number, frame: received.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if received:
        raise KeyboardInterrupt


def stop(names: Sequence[str], patience: float) -> list[str]:
    """Terminate processes, all at once, and kill what is left of their sessions after a while.

    Args:
        names: Of their records; those that were never started are skipped.
        patience: How long they have to end by themselves, in seconds.

    Returns:
        The names of those of which anything was running.
    """
    records = [record for name in names if (record := Record.read(name))]
    running = [record.name for record in records if record.family()]
    leaders = [leader for record in records if (leader := record.process())]
    for leader in leaders:
        with suppress(psutil.NoSuchProcess):
            leader.terminate()
    psutil.wait_procs(leaders, timeout=patience)
    for record in records:
        _end_session(record)
        _file(record.name).unlink(missing_ok=True)
    return running


def _end_session(record: Record) -> None:
    for _ in range(20):  # Members may start others while they are being ended.
        members = record.family()
        if not members:
            return
        for member in members:
            with suppress(psutil.NoSuchProcess):
                member.kill()
        psutil.wait_procs(members, timeout=1)


def log_file(name: str) -> Path:
    """The log of the process `name`."""
    return settings().home / "logs" / f"{name}.log"


def open_log(name: str) -> IO[bytes]:
    """The log of the process `name`, opened at its end; a long one is put aside first."""
    log = log_file(name)
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists() and log.stat().st_size > _LOG_LIMIT:
        log.replace(log.with_suffix(".log.1"))
    return log.open("ab")


def log_since(name: str, position: int) -> str:
    """What was written to a process's log.

    Args:
        name: Of the process.
        position: Where in the file to begin, in bytes.
    """
    with log_file(name).open("rb") as log:
        log.seek(position)
        return log.read().decode(errors="replace")


def log_tail(name: str, lines: int = 15) -> str:
    """The end of a process's log, for an error message; empty without a log.

    Args:
        name: Of the process.
        lines: How many at most.
    """
    try:
        return "\n".join(log_file(name).read_text(errors="replace").splitlines()[-lines:])
    except FileNotFoundError:
        return ""


def wait_until(condition: Callable[[], bool], timeout: float, every: float = 0.1) -> bool:
    """Wait for a condition.

    Args:
        condition: Called again and again until it returns true.
        timeout: How long to wait, in seconds.
        every: Seconds between two calls.

    Returns:
        Whether it became true in time.
    """
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(every)
    return True


def _file(name: str) -> Path:
    return settings().home / "run" / f"{name}.json"
