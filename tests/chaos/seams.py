"""Seams: the moments right before and right after a step touches a store, seen from outside by Python's profile hook.

A kill at a seam is exact: the same step on the same state meets the same seams in the same order, so it can be told and
repeated by its name ("after sqlite3.Connection.__exit__, the 1st time"). Nothing of the library, or of the libraries
below it, is patched.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

BEFORE, AFTER = "before", "after"
#: (end of the file's path, qualified name) of the Python functions through which a store is written to, by what it is.
_WRITERS = {
    ("requests/sessions.py", "Session.send"): "http",
    ("sqlalchemy/engine/default.py", "DefaultDialect.do_commit"): "sql commit",
    ("sqlalchemy/engine/default.py", "DefaultDialect.do_execute"): "sql",
    ("psycopg/connection.py", "Connection.commit"): "psycopg commit",
    ("pyiceberg/io/pyarrow.py", "write_file"): "lake data file",
    ("pyiceberg/manifest.py", "ManifestWriter.__exit__"): "lake manifest",
    ("pyiceberg/manifest.py", "ManifestListWriter.__exit__"): "lake manifest list",
    ("pyiceberg/serializers.py", "ToOutputFile.table_metadata"): "lake metadata file",
}
_POSIX = {"replace", "rename", "unlink", "link", "fsync", "rmdir", "mkdir"}
_SQLITE = {"commit", "__exit__", "execute", "executemany"}
_LIBRARY = f"{os.sep}include{os.sep}perennial{os.sep}"
_IDS = re.compile(r"[0-9a-f]{32}|\d+")


@dataclass(frozen=True)
class Seam:
    """One moment of a step.

    Attributes:
        what: What is called there.
        when: `before` or `after` the call.
        nth: Which of the equal moments of the step, from 1.
    """

    what: str
    when: str
    nth: int

    def __str__(self) -> str:
        return f"{self.when} {self.what} #{self.nth}"


def die() -> None:
    """What happens at the chosen seam, unless something else is asked for."""
    os.kill(os.getpid(), signal.SIGKILL)


class Watch:
    """Counts the seams that this process meets, and does something at one of them."""

    def __init__(self, chosen: Seam | None = None, act: Callable[[], None] = die) -> None:
        self._met: Counter[tuple[str, str]] = Counter()
        self._chosen, self._act = chosen, act
        self._names: dict[CodeType, str | None] = {}
        self._open: dict[int, tuple[str, int]] = {}
        self._writes = 0
        self._writing: set[str] = set()

    @property
    def met(self) -> list[tuple[str, str, int]]:
        """What was met, before or after, how often: every writer, and the library's functions that led to one."""
        return [
            (what, when, count) for (what, when), count in self._met.items() if is_store(what) or what in self._writing
        ]

    def start(self) -> None:
        """Watch this thread and all that are started from here on."""
        threading.setprofile(self._notice)
        sys.setprofile(self._notice)

    def stop(self) -> None:
        sys.setprofile(None)
        threading.setprofile(None)  # type: ignore[arg-type]

    def _notice(self, frame: FrameType, event: str, function: Any) -> None:
        if event in ("call", "return"):
            code = frame.f_code
            try:
                name = self._names[code]
            except KeyError:
                name = self._names[code] = _name(code)
            if name is None:
                return
            if event == "call":
                label = _label(name, frame)
                self._open[id(frame)] = label, self._writes
                self._meet(label, BEFORE)
            else:
                label, before = self._open.pop(id(frame), (name, self._writes))
                if self._writes > before:
                    self._writing.add(label)
                self._meet(label, AFTER)
        elif event in ("c_call", "c_return"):
            what = _of_c(function)
            if what is not None:
                self._meet(what, BEFORE if event == "c_call" else AFTER)

    def _meet(self, what: str, when: str) -> None:
        if not what:
            return
        self._writes += is_store(what)
        self._met[what, when] += 1
        if self._chosen == Seam(what, when, self._met[what, when]):
            self._act()


def _name(code: CodeType) -> str | None:
    """What the call of a Python function is to us: a writer of a store, a function of the library, or nothing."""
    for (path, qualified), name in _WRITERS.items():
        if code.co_qualname == qualified and code.co_filename.endswith(path):
            return name
    if _LIBRARY in code.co_filename and "." not in code.co_qualname and not code.co_name.startswith(("_", "<")):
        return f"perennial.{Path(code.co_filename).stem}.{code.co_qualname}"
    return None


def _label(name: str, frame: FrameType) -> str:
    """A writer's name with what it writes; empty if it only reads."""
    if name == "http":
        request = frame.f_locals["request"]
        path = _IDS.sub("*", request.path_url.partition("?")[0])
        return "" if request.method == "GET" or path.endswith(("search", "get")) else f"{request.method} {path}"
    if name == "sql":
        words = frame.f_locals["statement"].split()
        verb = words[0].upper() if words else ""
        if "pg_advisory" in frame.f_locals["statement"]:
            return "sql lock" if "unlock" not in frame.f_locals["statement"] else "sql unlock"
        target = {"INSERT": 2, "UPDATE": 1, "DELETE": 2, "CREATE": 2}.get(verb)
        return "" if target is None else f"sql {verb} {words[target]}"
    return name


def _of_c(function: Any) -> str | None:
    name = getattr(function, "__name__", "")
    if name in _POSIX and getattr(function, "__module__", "") == "posix":
        return f"posix.{name}"
    if name in _SQLITE and type(getattr(function, "__self__", None)).__module__ == "sqlite3":
        return f"sqlite3.{type(function.__self__).__name__}.{name}"
    return None


def is_store(what: str) -> bool:
    """Whether a store is touched there, rather than a function of the library entered or left."""
    return not what.startswith("perennial.")
