"""Carries the log of a prediction server into the lake: when it starts, about once a minute, and when it stops."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

from perennial._common import background_threads
from perennial.served_predictions import carrying

log = logging.getLogger(__name__)

#: How often, in seconds.
EVERY = 60.0
#: How long the server, once it is told to stop, waits for the lake to take the last records, in seconds.
_LAST_SECONDS = 10.0


class LogCarrier:
    """Carries in a thread of its own. Any process may, and several may: they take turns.

    Args:
        folder: Of the log.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._is_failing = False

    def start(self) -> None:
        """Begin, with what an earlier process has left."""
        self._thread = background_threads.start(self._run)

    def end(self) -> None:
        """Carry what there is a last time; what the lake does not take within some seconds waits for the next start."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join(_LAST_SECONDS)

    def _run(self) -> None:
        is_last = False
        while not is_last:
            # Looked at before: what was recorded until the end was told is carried then.
            is_last = self._ended.is_set()
            self.carry()
            if not is_last:
                self._ended.wait(EVERY)

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
