"""How often tokens may ask: a bucket for each, which fills evenly and from which every request takes one."""

from __future__ import annotations

import fcntl
import hashlib
import mmap
import struct
import tempfile
import threading
import time
from collections.abc import Callable

from perennial.serving.tokens import Rate, ServiceToken

#: A slot: which token and rate it is of, 0: of none, and when its bucket will be full again, by the clock.
_SLOT = struct.Struct("=Qd")
_SLOTS = 4096
#: A token has one of so many slots. One whose bucket is full says nothing, and is anybody's.
_ITS_SLOTS = 16
#: What the clock's rounding may make of a wait of no time, in seconds.
_ROUNDING = 1e-9


class RateLimits:
    """The buckets of one server, used from several threads, and from processes that are forked after it was made.

    The buckets are in memory that a fork shares. A lock of the operating system's keeps two processes from taking
    the same request; one that is killed while it holds the lock, which is for microseconds, lets go of it. A server
    that is started again has full buckets. If more than 16 tokens in use hash to the same slots, some get a full
    bucket early: that takes several thousand.

    Args:
        clock: Seconds that never go back, the same in all these processes.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._threads = threading.Lock()
        # POSIX locks are a process's own, so the file may be opened before the fork; it is never closed before the end.
        self._file = tempfile.TemporaryFile()  # noqa: SIM115
        self._memory = mmap.mmap(-1, _SLOTS * _SLOT.size)

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
        key, each = _key(token, rate), rate.seconds / rate.requests
        with self._threads:
            fcntl.lockf(self._file, fcntl.LOCK_EX)
            try:
                now = self._clock()
                offset, full_at = self._slot(key, now)
                wait = max(full_at, now) - now - (rate.requests - 1) * each
                if wait > _ROUNDING:
                    return wait
                _SLOT.pack_into(self._memory, offset, key, max(full_at, now) + each)
                return 0.0
            finally:
                fcntl.lockf(self._file, fcntl.LOCK_UN)

    def _slot(self, key: int, now: float) -> tuple[int, float]:
        """Where the bucket of a key is, or may be put, and when it will be full."""
        free, earliest = 0, float("inf")
        for number in range(key, key + _ITS_SLOTS):
            offset = number % _SLOTS * _SLOT.size
            held, full_at = _SLOT.unpack_from(self._memory, offset)
            if held == key:
                return offset, full_at
            if full_at < earliest:
                free, earliest = offset, full_at
        return free, now


def _key(token: ServiceToken, rate: Rate) -> int:
    """The same in all processes; never 0. A token that is made again with another rate has another bucket."""
    digest = hashlib.blake2b(f"{token.digest} {rate.requests} {rate.seconds}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) or 1
