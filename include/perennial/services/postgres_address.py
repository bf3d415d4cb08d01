"""Where the embedded PostgreSQL listens, read from PostgreSQL's own PID file, and how its databases are named."""

from __future__ import annotations

import os
import pwd
import re
from dataclasses import dataclass
from pathlib import Path

import psutil

from perennial.errors import ServiceUnavailable
from perennial.services import socket_link
from perennial.settings import settings

DATABASES = ("airflow", "mlflow", "lake", "feast")
#: A parameter of the server that means nothing to it: it tells whoever lists processes which folder a server is of.
MARK = "perennial.folder="
#: The longest path of a socket, in bytes: 107 on Linux, 103 on macOS.
_LONGEST = 103 - len("/.s.PGSQL.5432")
#: Addresses are URLs and lists separated by commas: a path with other characters may mean something in them.
_PLAIN = re.compile(r"[\w./-]+", re.ASCII)


@dataclass(frozen=True)
class Address:
    """A local socket of the embedded server.

    Attributes:
        socket: Its folder.
        port: Part of its name.
        account: That the server runs as. libpq asks the kernel, and sends nothing to a server of any other.
        user: PostgreSQL's role.
    """

    socket: str
    port: str
    account: str
    user: str = "postgres"

    def parameters(self) -> dict[str, str]:
        """What libpq needs to connect to it, by libpq's names; the database is missing."""
        return {"host": self.socket, "port": self.port, "user": self.user, "requirepeer": self.account}


def name_of(database: str) -> str:
    """The name on the server of one of `DATABASES`, which is the environment's own; others are named as they are."""
    return settings().own_name(database, "_") if database in DATABASES else database


def folder() -> Path:
    """The data folder of the embedded server."""
    return settings().home / "postgres"


def address() -> Address:
    """Where the embedded server accepts connections.

    Raises:
        ServiceUnavailable: It is not running.
    """
    try:
        lines = (folder() / "postmaster.pid").read_text().splitlines()
        port, socket, status = lines[3], lines[4], lines[7].strip()
    except (FileNotFoundError, IndexError):
        status = "stopped"
    except PermissionError as error:
        raise ServiceUnavailable(
            f"The embedded PostgreSQL in {folder()} belongs to another user.",
            "Run this as that user, or set PERENNIAL_HOME to a home of your own.",
        ) from error
    if status != "ready":
        raise ServiceUnavailable(
            f"The embedded PostgreSQL in {folder()} is not running.",
            "Start it with `perennial up`, or set PERENNIAL_DATABASE to another server.",
        )
    # Ours listen in their own folder, which they name `.`; one that an earlier release started names its folder.
    # Root starts it as the account that the data belongs to; everybody else as their own.
    account = account_of(os.geteuid() or folder().stat().st_uid)
    return Address(_socket_folder() if socket == "." else socket, port, account.pw_name)


def account_of(uid: int) -> pwd.struct_passwd:
    """The account of the system with this id.

    Raises:
        ServiceUnavailable: the system has no name for it.
    """
    try:
        return pwd.getpwuid(uid)
    except KeyError as error:
        raise ServiceUnavailable(
            f"The embedded PostgreSQL needs an account with a name, and user id {uid} has none.",
            "Add it to /etc/passwd, run as another user, or set PERENNIAL_DATABASE.",
        ) from error


def _socket_folder() -> str:
    """A path to the data folder, which holds the socket, that clients can use."""
    where = folder()
    if len(os.fsencode(where)) <= _LONGEST and _PLAIN.fullmatch(str(where)):
        return str(where)
    return str(socket_link.link_to(where))


def process() -> psutil.Process | None:
    """The running postmaster of this folder, recognised by its command line; None if there is none."""
    try:
        postmaster = psutil.Process(int((folder() / "postmaster.pid").read_text().splitlines()[0]))
        # An earlier release's server has the folder itself among its arguments.
        names = {str(folder()), str(folder().resolve()), f"{MARK}{folder().resolve()}"}
        return postmaster if names & set(postmaster.cmdline()) else None
    except (OSError, IndexError, ValueError, psutil.Error):
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
