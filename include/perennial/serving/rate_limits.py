"""How often tokens may ask: a bucket for each, which fills evenly and from which every request takes one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from perennial.serving.tokens import Rate, ServiceToken


class RateLimits:
    """The buckets of one process; used from several threads.

    Args:
        clock: Seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        #: By the token's digest: its rate, how many requests are left, and when that was.
        self._buckets: dict[str, tuple[Rate, float, float]] = {}

    def take(self, token: ServiceToken) -> float:
        """Take one request from a token's bucket.

        Args:
            token: Who asks.

        Returns:
            0.0 if there was one; else after how many seconds there is.
        """
        rate = token.rate
        if rate is None:
            return 0.0
        with self._lock:
            now = self._clock()
            known, left, since = self._buckets.get(token.digest, (rate, float(rate.requests), now))
            if known != rate:
                left, since = float(rate.requests), now
            a_second = rate.requests / rate.seconds
            left = min(float(rate.requests), left + (now - since) * a_second)
            is_there = left >= 1.0
            self._buckets[token.digest] = (rate, left - 1.0 if is_there else left, now)
            return 0.0 if is_there else (1.0 - left) / a_second
