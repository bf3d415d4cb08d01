"""A short path to the embedded PostgreSQL's folder, for a home whose own path no client could use.

The path of a socket has at most some hundred bytes, and in an address a comma or a quote has a meaning. The link is in
a folder of mode 0700 with an unpredictable name below /tmp; the socket itself stays in the home.
"""

from __future__ import annotations

import json
import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from perennial.errors import ServiceUnavailable
from perennial.settings import settings

#: Not the temporary folder of the environment, which may have a long path itself.
_PARENT = "/tmp"  # noqa: S108 - what is made there is checked each time


def link_to(folder: Path) -> Path:
    """The link to `folder`, made if it is not there; the same in all processes, also after /tmp was cleared.

    Raises:
        ServiceUnavailable: it cannot be made.
    """
    link = _recorded(folder)
    if link is None or not _leads_to(link, folder):
        from filelock import FileLock

        file = _file()
        file.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(file.with_suffix(".lock")):
            link = _recorded(folder)
            if link is None or not _leads_to(link, folder):
                try:
                    link = _make(link, folder)
                except OSError as error:
                    raise ServiceUnavailable(
                        f"No folder for PostgreSQL's socket could be made in {_PARENT}: {error}.",
                        "Set PERENNIAL_HOME to a path of at most 80 characters: letters, digits and . _ - only.",
                    ) from error
    return link


def remove(folder: Path) -> None:
    """Remove the link to `folder`. Its empty folder stays, so that nobody else can take a name that processes know."""
    link = _recorded(folder)
    if link is not None and _leads_to(link, folder):
        with suppress(OSError):
            link.unlink()


def _make(recorded: Path | None, folder: Path) -> Path:
    """Make the link, under its earlier name if that is free: servers that run know it by that."""
    if recorded is not None:
        with suppress(FileExistsError):
            recorded.parent.mkdir(mode=0o700)
    if recorded is not None and _is_private(recorded.parent):
        link = recorded
        link.unlink(missing_ok=True)
    else:
        link = Path(tempfile.mkdtemp(prefix="perennial-", dir=_PARENT)) / "pg"
    link.symlink_to(folder)
    draft = _file().with_suffix(".draft")
    draft.write_text(json.dumps({"link": str(link), "folder": str(folder)}))
    draft.replace(_file())
    return link


def _recorded(folder: Path) -> Path | None:
    """The link as recorded; None if there is no record, or that of another home, of which this one is a copy."""
    try:
        record = json.loads(_file().read_text())
        return Path(record["link"]) if record["folder"] == str(folder) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _leads_to(link: Path, folder: Path) -> bool:
    try:
        return _is_private(link.parent) and link.readlink() == folder
    except OSError:
        return False


def _is_private(folder: Path) -> bool:
    """Whether it is a real folder, of this user or the home's owner, that nobody else may enter."""
    try:
        seen = os.lstat(folder)
        owners = {os.geteuid(), settings().home.stat().st_uid}
    except OSError:
        return False
    return stat.S_ISDIR(seen.st_mode) and seen.st_uid in owners and not stat.S_IMODE(seen.st_mode) & 0o077


def _file() -> Path:
    return settings().home / "run" / "postgresql-socket.json"
