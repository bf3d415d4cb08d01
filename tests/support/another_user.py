"""What another user of this machine can do, for tests that run as root."""

from __future__ import annotations

import multiprocessing
import os
import pwd
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path


def as_nobody(action: Callable[[], object]) -> str:
    """What `action` returns to the account nobody, as text, or the class and message of the error it gets."""
    receiving, sending = multiprocessing.Pipe(duplex=False)
    # A fork: that account need not be able to read the packages that are loaded already.
    child = multiprocessing.get_context("fork").Process(target=_act, args=(action, sending))
    child.start()
    sending.close()
    result = receiving.recv()
    child.join()
    return result


def _act(action: Callable[[], object], sending: Connection) -> None:
    account = pwd.getpwnam("nobody")
    os.setgroups([])
    os.setgid(account.pw_gid)
    os.setuid(account.pw_uid)
    try:
        sending.send(str(action()))
    except Exception as error:
        sending.send(f"{type(error).__name__}: {error}")


def readable_below(folder: Path) -> list[str]:
    """The files below a folder that this process can read, and the folders that it can list or enter."""
    seen = []
    for where, _, files in os.walk(folder):
        seen.append(where)
        seen += [f"{where}/{name}" for name in files if os.access(f"{where}/{name}", os.R_OK)]
    return [each for each in seen if os.access(each, os.R_OK) or os.access(each, os.X_OK)]
