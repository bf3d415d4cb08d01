"""Where the embedded PostgreSQL listens, from the file it keeps itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import psutil

from perennial.errors import ServiceUnavailable
from perennial.settings import settings


@dataclass(frozen=True)
class Address:
    """A local socket: its folder and the port that names it."""

    socket: str
    port: str
    user: str = "postgres"


def folder() -> Path:
    """The data folder of the embedded server."""
    return settings().home / "postgres"


def address() -> Address:
    """Where the embedded server accepts connections.

    Raises:
        ServiceUnavailable: it is not running.
    """
    try:
        lines = (folder() / "postmaster.pid").read_text().splitlines()
        port, socket, status = lines[3], lines[4], lines[7].strip()
    except (FileNotFoundError, IndexError):
        status = "stopped"
    if status != "ready":
        raise ServiceUnavailable(
            f"The embedded PostgreSQL in {folder()} is not running.",
            "Start it with `perennial up`, or set PERENNIAL_DATABASE to another server.",
        )
    return Address(socket, port)


def process() -> psutil.Process | None:
    """The running postmaster of this folder, recognised by its command line; None if there is none."""
    try:
        found = psutil.Process(int((folder() / "postmaster.pid").read_text().splitlines()[0]))
        return found if str(folder()) in found.cmdline() else None
    except (FileNotFoundError, IndexError, ValueError, psutil.Error):
        return None


def is_ready() -> bool:
    """Whether it runs and accepts connections."""
    if process() is None:
        return False
    try:
        address()
    except ServiceUnavailable:
        return False
    return True
