"""Work in threads that the end of the process does not wait for."""

from __future__ import annotations

import threading
from collections.abc import Callable


def start(work: Callable[..., None], *arguments: object) -> threading.Thread:
    """Begin `work` in a thread that may be joined, and may as well be left behind.

    Args:
        work: Called once; what it returns is dropped.
        *arguments: Its positional arguments.
    """
    thread = threading.Thread(target=work, args=arguments, daemon=True)
    thread.start()
    return thread


def any_alive() -> bool:
    """Whether something was left behind, be it by a library that started a thread of its own.

    Then `os._exit` must end the process: at Python's own end (before 3.14) a thread that comes back from a library's
    C++ code is unwound through it, and most C++ code aborts at that.
    """
    return any(thread.daemon for thread in threading.enumerate())
