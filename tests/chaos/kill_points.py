"""Kill points: just before and just after a step writes to a store, as seen by Python's trace hook.

A kill at a kill point is exact: the same step on the same state reaches the same kill points in the same order, so a
kill can be printed and repeated by its name ("after sqlite3.Connection.__exit__, the 1st time"). Nothing of the
library, or of the libraries below it, is patched.
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
from types import CodeType, FrameType
from typing import Any

BEFORE, AFTER = "before", "after"
#: (end of the file's path, qualified name) of the Python functions through which a store is written to, by what it is.
WRITERS = {
    ("requests/sessions.py", "Session.send"): "http",
    ("sqlalchemy/engine/default.py", "DefaultDialect.do_commit"): "sql commit",
    ("sqlalchemy/engine/default.py", "DefaultDialect.do_execute"): "sql",
    ("pyiceberg/io/pyarrow.py", "write_file"): "lake data file",
    ("pyiceberg/manifest.py", "ManifestWriter.__exit__"): "lake manifest",
    ("pyiceberg/manifest.py", "ManifestListWriter.__exit__"): "lake manifest list",
    ("pyiceberg/serializers.py", "ToOutputFile.table_metadata"): "lake metadata file",
    ("perennial/quarantine/files.py", "save"): "quarantined content",
    ("perennial/training/training_set_file.py", "store"): "training set",
}
_C = "calls C"
#: In functions of these files what is called in C is looked at as well; everywhere it would cost half of the time.
_CALLS_C = ("perennial/feature_store/online/sqlite.py", "feast/infra/online_stores/sqlite.py")
_SQLITE = {"commit", "__exit__", "execute", "executemany"}
#: What Python itself reports before it happens (https://docs.python.org/3/library/audit_events.html).
_AUDITED = {"os.rename", "os.link", "os.truncate"}
_LIBRARY = f"{os.sep}include{os.sep}perennial{os.sep}"
_IDS = re.compile(r"[0-9a-f]{32}|\d+")
_TARGET = {"INSERT": 2, "UPDATE": 1, "DELETE": 2}
#: One moment: what is called there, and whether it is right before or right after the call.
Moment = tuple[str, str]


@dataclass(frozen=True)
class KillPoint:
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
    """What happens at the chosen kill point, unless something else is asked for."""
    os.kill(os.getpid(), signal.SIGKILL)


class Watch:
    """Records the kill points that this process reaches, and acts at one of them. One per process."""

    def __init__(self, chosen: KillPoint | None = None, act: Callable[[], None] = die) -> None:
        self._met: list[Moment] = []
        self._chosen, self._act, self._left = chosen, act, chosen.nth if chosen else 0
        self._names: dict[CodeType, str | None] = {}
        self._open: dict[int, tuple[str, int]] = {}
        self._unsaved: set[int] = set()
        self._writes = 0
        self._writing: set[str] = set()
        self._in_c: Counter[int] = Counter()
        self._is_on = False

    @property
    def met(self) -> list[Moment]:
        """What was met, in order: every writer, and the library's functions that led to one."""
        return [moment for moment in self._met if is_store(moment[0]) or moment[0] in self._writing]

    def start(self) -> None:
        """Watch this thread and all that are started from here on."""
        self._is_on = True
        sys.addaudithook(self._hear)
        threading.settrace(self._enter)
        sys.settrace(self._enter)

    def stop(self) -> None:
        self._is_on = False
        sys.setprofile(None)
        sys.settrace(None)
        threading.settrace(None)  # type: ignore[arg-type]

    def _enter(self, frame: FrameType, event: str, _: Any) -> Any:
        # Called for every function of Python that is called: what is none of ours has to leave early.
        code = frame.f_code
        try:
            name = self._names[code]
        except KeyError:
            name = self._names[code] = _name(code)
        if name is None:
            return None
        frame.f_trace_lines = False
        if name == _C:
            self._in_c[threading.get_ident()] += 1
            sys.setprofile(self._notice_c)
            return self._leave_c
        label = self._label(name, frame)
        self._open[id(frame)] = label, self._writes
        self._meet(label, BEFORE)
        return self._leave

    def _leave(self, frame: FrameType, event: str, _: Any) -> Any:
        if event == "return":
            label, before = self._open.pop(id(frame))
            if self._writes > before:
                self._writing.add(label)
            self._meet(label, AFTER)
        return self._leave

    def _leave_c(self, frame: FrameType, event: str, _: Any) -> Any:
        if event == "return":
            thread = threading.get_ident()
            self._in_c[thread] -= 1
            if not self._in_c[thread]:
                sys.setprofile(None)
        return self._leave_c

    def _notice_c(self, frame: FrameType, event: str, function: Any) -> None:
        if event in ("c_call", "c_return") and function.__name__ in _SQLITE:
            owner = type(getattr(function, "__self__", None))
            if owner.__module__ == "sqlite3":
                what = f"sqlite3.{owner.__name__}.{function.__name__}"
                self._meet(what, BEFORE if event == "c_call" else AFTER)

    def _hear(self, event: str, _: Any) -> None:
        if event in _AUDITED and self._is_on:
            self._meet(event, BEFORE)

    def _meet(self, what: str, when: str) -> None:
        if not what:
            return
        self._writes += is_store(what)
        self._met.append((what, when))
        if self._chosen and (what, when) == (self._chosen.what, self._chosen.when):
            self._left -= 1
            if not self._left:
                self._act()

    def _label(self, name: str, frame: FrameType) -> str:
        """A writer's name with what it writes; empty if it only reads."""
        if name == "http":
            request = frame.f_locals["request"]
            path = _IDS.sub("*", request.path_url.partition("?")[0])
            return "" if request.method == "GET" or path.endswith(("search", "get")) else f"{request.method} {path}"
        if name == "sql":
            label = _statement(frame.f_locals["statement"])
            if label not in ("", "sql lock", "sql unlock"):
                self._unsaved.add(id(frame.f_locals["cursor"].connection))
            return label
        if name == "sql commit":
            connection = frame.f_locals["dbapi_connection"]
            driven = id(getattr(connection, "dbapi_connection", connection))
            if driven not in self._unsaved:
                return ""
            self._unsaved.remove(driven)
        return name


def _name(code: CodeType) -> str | None:
    """What the call of a Python function is to us: a writer of a store, a function of the library, one that calls a
    writer in C, or nothing."""
    for (path, qualified), name in WRITERS.items():
        if code.co_qualname == qualified and code.co_filename.endswith(path):
            return name
    if code.co_filename.endswith(_CALLS_C):
        return _C
    if _LIBRARY in code.co_filename and "." not in code.co_qualname and not code.co_name.startswith(("_", "<")):
        module = code.co_filename.rpartition(_LIBRARY)[2].removesuffix(".py").replace(os.sep, ".")
        return f"perennial.{module}.{code.co_qualname}"
    return None


def _statement(statement: str) -> str:
    """What an SQL statement changes; empty if it only reads."""
    if "pg_advisory" in statement:
        return "sql unlock" if "unlock" in statement else "sql lock"
    words = statement.split(maxsplit=3)
    verb = words[0].upper() if words else ""
    if verb == "CREATE":
        return f"sql CREATE {'INDEX' if 'INDEX' in words[1:3] else words[1]}"
    return f"sql {verb} {words[_TARGET[verb]]}" if verb in _TARGET else ""


def is_store(what: str) -> bool:
    """Whether a store is touched there, rather than a function of the library entered or left."""
    return not what.startswith("perennial.")
