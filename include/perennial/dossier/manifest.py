"""The manifest of a dossier: what it is about, the digest of each of its files, and one digest of the whole."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from math import isfinite
from typing import Any, NamedTuple

from perennial.dossier.archive import MANIFEST, Problem, is_name, printable

#: What a reader has to know to understand it; another number is another form.
FORMAT = "perennial-dossier/1"
#: What a manifest says in ISO 8601, or leaves out.
MOMENTS = ("as_of", "newest_record")


class NotRecorded(NamedTuple):
    """Something that an auditor may look for and that no record says.

    Attributes:
        what: Its name.
        why: Why it is not there, in a sentence without its full stop.
    """

    what: str
    why: str


def as_bytes(value: Any) -> bytes:
    """A value as JSON, in one form: keys in order, times in UTC (ISO 8601), numbers that JSON does not know as text."""
    return (json.dumps(plain(value), indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n").encode()


def plain(value: Any) -> Any:
    """A value in what JSON knows."""
    match value:
        case dict():
            return {str(name): plain(each) for name, each in value.items()}
        case list() | tuple() | set() | frozenset():
            return [plain(each) for each in (sorted(value) if isinstance(value, set | frozenset) else value)]
        case float():
            return value if isfinite(value) else str(value)
        case datetime():
            return (value.astimezone(UTC) if value.tzinfo else value).isoformat()
        case date():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case str():
            return value.encode(errors="replace").decode()
        case bool() | int() | None:
            return value
    return str(value)


def make(about: Mapping[str, Any], files: Mapping[str, bytes]) -> bytes:
    """The manifest of these files.

    Args:
        about: What the dossier is about: use case, version, moment, what is not recorded.
        files: Name -> content, of all others.
    """
    listed = {
        name: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)} for name, content in files.items()
    }
    body = {"format": FORMAT, **about, "files": listed}
    return as_bytes(body | {"digest": digest_of(body)})


def digest_of(body: Mapping[str, Any]) -> str:
    """SHA-256 of everything that a manifest says beside this digest: of the whole dossier.

    Args:
        body: The manifest; what it has as `digest` does not count.
    """
    return hashlib.sha256(as_bytes({name: value for name, value in body.items() if name != "digest"})).hexdigest()


def digest_in(written: bytes) -> str:
    """The digest that a manifest names, as `make` wrote it."""
    return str(json.loads(written)["digest"])


def check(files: Mapping[str, bytes], unread: frozenset[str] = frozenset()) -> tuple[dict[str, Any], list[Problem]]:
    """The manifest among these files, and what of them is not as it says.

    Args:
        files: Name -> content, as read from an archive.
        unread: Files that are in the archive and could not be read.
    """
    if MANIFEST not in files:
        return {}, [] if MANIFEST in unread else [Problem(MANIFEST, "is missing")]
    try:
        told = json.loads(files[MANIFEST])
        listed = {name: (each["sha256"], each["bytes"]) for name, each in told["files"].items()}
        form = told["format"], type(told["use_case"]), type(told["version"])
        moments = [datetime.fromisoformat(at) for name in MOMENTS if (at := told.get(name)) is not None]
        is_as_written = files[MANIFEST] == as_bytes(told) and told["digest"] == digest_of(told)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return {}, [Problem(MANIFEST, "was changed: it is no manifest of a dossier")]
    if form != (FORMAT, str, int):
        return {}, [Problem(MANIFEST, f"has another form than {FORMAT!r}, the only one that is read")]
    if not is_name(told["use_case"]) or not all(each.tzinfo for each in moments):
        return {}, [Problem(MANIFEST, "names a use case or a time that no dossier has")]
    problems = []
    if not is_as_written:
        problems.append(Problem(MANIFEST, "was changed: it does not have the digest that it names"))
    others = files.keys() - {MANIFEST}
    problems += [Problem(name, "was added") for name in sorted(others - listed.keys())]
    problems += [Problem(printable(name), "is missing") for name in sorted(listed.keys() - others - unread)]
    for name in sorted(others & listed.keys()):
        if (hashlib.sha256(files[name]).hexdigest(), len(files[name])) != listed[name]:
            problems.append(Problem(name, "was changed"))
    return told, problems
