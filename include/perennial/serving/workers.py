"""The processes of a prediction server: forked before anything is loaded, and replaced when they end.

Workers serve on one socket. One more process, the carrier, carries what they record into the lake: in a worker that
would take turns with answers for a second each minute, and leave every worker with the memory that it took.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from enum import Enum
from types import FrameType

log = logging.getLogger(__name__)

#: A worker that ended earlier than so many seconds after its start is not replaced at once.
_TOO_SOON = 5.0
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class _Role(Enum):
    WORKER = "Worker"
    CARRIER = "Carrier"


def supervise(
    count: int,
    serve: Callable[[], None],
    carry: Callable[[], None],
    *,
    listener: socket.socket,
    last_seconds: float,
) -> None:
    """Keep workers and the carrier running until SIGTERM or Ctrl-C, which the workers are told first, then the carrier.

    Nothing that starts threads or opens connections may have run in this process: neither survives a fork. So each
    worker loads by itself what it serves, and follows the ledger by itself; what the imports take in memory is shared.

    Args:
        count: How many workers.
        serve: What a worker does until it is told to stop.
        carry: What the carrier does until it is told to stop, after which nobody writes any more.
        listener: Where the workers listen. While there is none of them, who connects is refused, and does not wait.
        last_seconds: How long all may take to stop before they are killed.

    Raises:
        SystemExit: with 1, if a worker failed right after its start and none has ever worked.
    """
    _Supervisor(count, {_Role.WORKER: serve, _Role.CARRIER: carry}, listener, last_seconds).run()


class _Supervisor:
    def __init__(
        self, count: int, work: dict[_Role, Callable[[], None]], listener: socket.socket, last_seconds: float
    ) -> None:
        self._count = count
        self._work_of = work
        self._listener = listener
        self._last_seconds = last_seconds
        self._started: dict[int, tuple[_Role, float]] = {}
        self._told: set[int] = set()
        self._is_ending = False
        self._has_worked = False
        # Its end is open for writing in this process only: when this process is gone, workers read the end of it.
        self._alive, self._held = os.pipe()

    def run(self) -> None:
        for number in _SIGNALS:
            signal.signal(number, self._end)
        signal.signal(signal.SIGALRM, self._kill)
        for role in [_Role.WORKER] * self._count + [_Role.CARRIER]:
            self._fork(role)
        has_failed = False
        while self._started:
            process, status = os.waitpid(-1, 0)
            if process not in self._started:
                continue
            role, started = self._started.pop(process)
            if self._is_ending:
                self._tell_next()
                continue
            is_early = time.monotonic() - started < _TOO_SOON
            self._has_worked |= role is _Role.WORKER and not is_early
            if role is _Role.WORKER and not self._has_worked and os.waitstatus_to_exitcode(status) > 0:
                log.error("Worker %d failed right after its start, and none has ever worked: the server ends.", process)
                has_failed = True
                self._end()
            else:
                self._replace(process, role, status, is_early)
        os.close(self._alive)
        os.close(self._held)
        if has_failed:
            raise SystemExit(1)

    def _replace(self, process: int, role: _Role, status: int, is_early: bool) -> None:
        if all(each is not _Role.WORKER for each, _ in self._started.values()):
            with suppress(OSError):  # It never listened.
                self._listener.shutdown(socket.SHUT_RD)
        log.warning("%s %d ended (%s); another one takes its place.", role.value, process, _how(status))
        if is_early:
            time.sleep(1)
        self._fork(role)

    def _fork(self, role: _Role) -> None:
        # A signal between the fork and the note of it would miss the new process.
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        try:
            if self._is_ending:
                return
            process = os.fork()
            if process == 0:
                self._work(role)
            self._started[process] = (role, time.monotonic())
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)

    def _work(self, role: _Role) -> None:
        """Be a worker, or the carrier, to the end of the process."""
        code = 1
        try:
            for number in (*_SIGNALS, signal.SIGALRM):
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
            os.close(self._held)
            threading.Thread(target=_end_with, args=[self._alive], name="supervisor", daemon=True).start()
            self._work_of[role]()
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0
        except KeyboardInterrupt:
            code = 0
        except BaseException:
            log.exception("%s failed.", role.value)
        finally:
            # Told again, it would leave this function, and go on as the process that it was forked from.
            signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
            try:
                logging.shutdown()
            finally:
                os._exit(code)

    def _end(self, number: int | None = None, frame: FrameType | None = None) -> None:
        self._is_ending = True
        self._listener.close()
        signal.setitimer(signal.ITIMER_REAL, self._last_seconds)
        self._tell_next()

    def _tell_next(self) -> None:
        """Tell the workers to stop; once there are none, the carrier. Each once: it may be about to end."""
        roles = {role for role, _ in self._started.values()}
        ending = _Role.WORKER if _Role.WORKER in roles else _Role.CARRIER
        for process, (role, _) in list(self._started.items()):
            if role is ending and process not in self._told:
                self._told.add(process)
                _send(process, signal.SIGTERM)

    def _kill(self, number: int, frame: FrameType | None) -> None:
        for process in list(self._started):
            _send(process, signal.SIGKILL)


def _send(process: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):  # It has just ended.
        os.kill(process, number)


def _end_with(alive: int) -> None:
    """Tell this process to stop when the supervisor is gone."""
    os.read(alive, 1)
    os.kill(os.getpid(), signal.SIGTERM)


def _how(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
