"""The process that carries a server's log into the lake: when it starts, about once a minute, and when it stops."""

from __future__ import annotations

import logging
import signal
import threading
from pathlib import Path

from perennial.served_predictions import carrying

log = logging.getLogger(__name__)

#: How often, in seconds.
EVERY = 60.0


def run(folder: Path) -> None:
    """Carry until SIGTERM, and once more then: what the lake does not take any more waits for the next start.

    Several servers may do so: they take turns.

    Args:
        folder: Of the log.
    """
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the workers, which still write.
    LogCarrier(folder).run(ended)


class LogCarrier:
    """Carries again and again, and says once that it fails.

    Args:
        folder: Of the log.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._is_failing = False

    def run(self, ended: threading.Event) -> None:
        """Carry what earlier processes have left, then about once a minute, and a last time when `ended` is set."""
        is_last = False
        while not is_last:
            # Looked at before: what was recorded until the end was told is carried then.
            is_last = ended.is_set()
            self.carry()
            if not is_last:
                ended.wait(EVERY)

    def carry(self) -> None:
        """Carry what there is now; a failure is said once."""
        try:
            appended = carrying.carry(self._folder)
        except Exception as error:
            if not self._is_failing:
                log.warning("The lake does not take served predictions; they wait in %s: %s", self._folder, error)
            self._is_failing = True
            return
        if self._is_failing:
            log.info("The lake takes served predictions again.")
        self._is_failing = False
        if appended:
            log.info("%d served predictions were carried into the lake.", appended)
