"""Who may read what is in the home: its owner, or also a group that it is shared with on purpose (mode 2770)."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from perennial.errors import PerennialError

_FOR_OWNER, _FOR_GROUP = 0o077, 0o007
#: What is in a home. A folder of other things (somebody gave the wrong one) is not closed, nor one above these places.
_CONTENT = {"airflow", "keys.json", "lake", "lake_cache.db", "login.json", "logs", "mlflow", "postgres", "run"}
_PLACES = (
    Path.home,
    lambda: Path(__file__),
    lambda: Path(sys.prefix),
    lambda: Path("/usr/bin"),
    lambda: Path("/var/log"),
)


def umask(home: Path) -> int:
    """The rights that new files of processes which write into this home do not get."""
    try:
        return _FOR_GROUP if is_shared(home) else _FOR_OWNER
    except OSError:
        return _FOR_OWNER


def check_access(home: Path) -> None:
    """Check that this user may enter the home, if there is one.

    Raises:
        PerennialError: it is another user's.
    """
    with suppress(FileNotFoundError, NotADirectoryError):
        try:
            home.stat()
            if os.access(home, os.R_OK | os.X_OK) or not home.is_dir():
                return
        except PermissionError:
            pass
        raise PerennialError(
            f"The home {home} is closed to this user.",
            "Run this as its owner, set PERENNIAL_HOME to a home of your own, or let the owner share it: chmod 2770.",
        )


def is_shared(home: Path) -> bool:
    """Whether its owner lets the group write into it, and gives the group all that is made in it."""
    wanted = stat.S_ISGID | stat.S_IWGRP
    return home.stat().st_mode & wanted == wanted


def open_to_others(home: Path) -> bool:
    """Whether accounts may enter it that it is not meant for."""
    return bool(stat.S_IMODE(home.stat().st_mode) & umask(home))


def close(home: Path) -> None:
    """Make the home if it is not there, and close it to others. Nothing below has to change: nobody else gets there."""
    if not home.exists():
        home.parent.mkdir(parents=True, exist_ok=True)
        home.mkdir(mode=0o700, exist_ok=True)
    seen = home.stat()
    is_ours = seen.st_uid == os.geteuid() and not seen.st_mode & stat.S_ISVTX
    if is_ours and open_to_others(home) and _is_dedicated(home):
        with suppress(OSError):  # On a file system without modes; the doctor reports it.
            home.chmod(stat.S_IMODE(seen.st_mode) & ~umask(home))


def _is_dedicated(home: Path) -> bool:
    """Whether the folder seems to be a home and nothing else."""
    content = {each.name for each in home.iterdir()}
    return (not content or bool(content & _CONTENT)) and not any(_contains(home, place) for place in _PLACES)


def _contains(home: Path, place: Callable[[], Path]) -> bool:
    with suppress(OSError, RuntimeError):  # A user without a home folder, a working folder that was deleted.
        return place().resolve().is_relative_to(home.resolve())
    return False
