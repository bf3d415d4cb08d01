"""Several processes that serve on one socket: forked before anything is loaded, and replaced when they end."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType

log = logging.getLogger(__name__)

#: A worker that ended earlier than so many seconds after its start is not replaced at once.
_TOO_SOON = 5.0
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def supervise(count: int, serve: Callable[[], None], last_seconds: float) -> None:
    """Keep workers running until SIGTERM or Ctrl-C, which they are then told too.

    Nothing that starts threads or opens connections may have run in this process: neither survives a fork. So each
    worker loads by itself what it serves, and follows the ledger by itself; what the imports take in memory is shared.

    Args:
        count: How many.
        serve: What a worker does until it is told to stop.
        last_seconds: How long workers may take to stop before they are killed.
    """
    _Supervisor(count, serve, last_seconds).run()


class _Supervisor:
    def __init__(self, count: int, serve: Callable[[], None], last_seconds: float) -> None:
        self._count = count
        self._serve = serve
        self._last_seconds = last_seconds
        self._started: dict[int, float] = {}
        self._is_ending = False
        # Its end is open for writing in this process only: when this process is gone, workers read the end of it.
        self._alive, self._held = os.pipe()

    def run(self) -> None:
        for number in _SIGNALS:
            signal.signal(number, self._end)
        signal.signal(signal.SIGALRM, self._kill)
        for _ in range(self._count):
            self._fork()
        while self._started:
            process, status = os.waitpid(-1, 0)
            started = self._started.pop(process, None)
            if started is None or self._is_ending:
                continue
            log.warning("Worker %d ended (%s); another one takes its place.", process, _how(status))
            if time.monotonic() - started < _TOO_SOON:
                time.sleep(1)
            if not self._is_ending:
                self._fork()
        os.close(self._alive)
        os.close(self._held)

    def _fork(self) -> None:
        # A signal between the fork and the note of it would miss the new worker.
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        try:
            process = os.fork()
            if process == 0:
                self._work()
            self._started[process] = time.monotonic()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)

    def _work(self) -> None:
        """Be a worker, to the end of the process."""
        code = 1
        try:
            for number in (*_SIGNALS, signal.SIGALRM):
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
            os.close(self._held)
            threading.Thread(target=_end_with, args=[self._alive], name="supervisor", daemon=True).start()
            self._serve()
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0
        except KeyboardInterrupt:
            code = 0
        except BaseException:
            log.exception("A worker failed.")
        finally:
            logging.shutdown()
            os._exit(code)

    def _end(self, number: int, frame: FrameType | None) -> None:
        self._is_ending = True
        for process in self._started:
            os.kill(process, signal.SIGTERM)
        signal.setitimer(signal.ITIMER_REAL, self._last_seconds)

    def _kill(self, number: int, frame: FrameType | None) -> None:
        for process in self._started:
            os.kill(process, signal.SIGKILL)


def _end_with(alive: int) -> None:
    """Tell this process to stop when the supervisor is gone."""
    os.read(alive, 1)
    os.kill(os.getpid(), signal.SIGTERM)


def _how(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
