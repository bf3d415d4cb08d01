"""Waiting for a service that went away: says so once, gives up after a while, counts the time that was lost."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime

from perennial.errors import ServiceUnavailable

#: How long a service that has answered before is waited for, in seconds.
PATIENCE = 600.0
#: A shorter outage is not worth a line, in seconds.
_QUIET = 3.0


class Outage:
    """Whether a service is away, and since when.

    Args:
        tell: Called with a line when the service has been away for some seconds, and when it is back.

    Attributes:
        lost: For how long the service was away in all, in seconds; the outage that goes on does not count yet.
    """

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._since: float | None = None
        self._told = False
        self.lost = 0.0

    def away(self, problem: str, patience: float = PATIENCE) -> None:
        """The service was found to be away. Called again and again, until `back`.

        Args:
            problem: What is wrong, as in "Airflow does not answer".
            patience: How long to wait, in seconds.

        Raises:
            ServiceUnavailable: it has been away for longer.
        """
        if self._since is None:
            self._since = time.monotonic()
        for_seconds = time.monotonic() - self._since
        if for_seconds > patience:
            raise ServiceUnavailable(
                f"{problem}, for {for_seconds:.0f} s now.",
                "Run `perennial up`, then the same command again: it picks up where it was.",
            )
        if for_seconds >= _QUIET and not self._told:
            self._told = True
            since = datetime.fromtimestamp(time.time() - for_seconds).strftime("%H:%M:%S")
            limit = f"{patience / 60:.0f} minutes" if patience >= 120 else f"{patience:.0f} s"
            self._tell(f"{problem} since {since}; waiting up to {limit}. `perennial up` starts it.")

    def back(self, news: str) -> None:
        """The service works.

        Args:
            news: Told if its absence was, as in "Airflow answers again".
        """
        if self._since is not None:
            self.lost += time.monotonic() - self._since
            if self._told:
                self._tell(f"{news}.")
        self._since, self._told = None, False
