"""Turns the errors of disks, object stores and databases into errors that name the fix.

Functions that read or write the lake are decorated with `explain_storage_errors`. Airflow retries a task that fails
with `ServiceUnavailable` or `StorageFull`, and not one for which a person has to restore a file (`DamagedFile`).
"""

from __future__ import annotations

import errno
import functools
import re
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

from perennial.errors import DamagedFile, PerennialError, ServiceUnavailable, StorageFull

P = ParamSpec("P")
R = TypeVar("R")

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
#: How Arrow, Polars and pyiceberg say that a file is not what it was.
_DAMAGED = re.compile(
    r"parquet|magic|footer|out of specification|thrift|end of file|end of stream|couldn't deserialize|corrupt"
    r"|TableMetadata|Cannot parse|avro|EOF",
    re.IGNORECASE,
)
_PATH = re.compile(r"(?:file://)?(/[^\s'\":,]+\.(?:parquet|avro|metadata\.json))")
#: Names of files, which say nothing about what is wrong with them.
_NAMES = re.compile(r"\S+\.(?:parquet|avro|metadata\.json)")
#: How Arrow passes on what an object store answers.
_OBJECT_STORE = re.compile(r"AWS Error ([A-Z_]+)")
_GONE = {"NO_SUCH_KEY", "RESOURCE_NOT_FOUND"}


def explain_storage_errors(function: Callable[P, R]) -> Callable[P, R]:
    """`function`, whose first argument names a table of the lake, with `explaining` around it."""

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        with explaining(f"Lake table {args[0]!r}" if args else function.__name__):
            return function(*args, **kwargs)

    return wrapper


@contextmanager
def explaining(subject: str) -> Iterator[None]:
    """Turn what storage says into an error that names `subject`, the file, and what to do.

    Raises:
        ServiceUnavailable: PostgreSQL went away, or the object store refuses.
        StorageFull: no room is left on a disk.
        DamagedFile: a file of the lake is gone, or is not what it was.
    """
    try:
        yield
    except PerennialError:
        raise
    except Exception as error:
        explanation = _explanation(subject, error)
        if explanation is None:
            raise
        raise explanation from error


@contextmanager
def explaining_database(subject: str) -> Iterator[None]:
    """The same for the database alone.

    Raises:
        ServiceUnavailable: PostgreSQL went away.
    """
    try:
        yield
    except Exception as error:
        if not _is_of_database(error):
            raise
        raise _not_answering(subject, error) from error


def _not_answering(subject: str, error: Exception) -> ServiceUnavailable:
    return ServiceUnavailable(
        f"{subject}: PostgreSQL does not answer: {_message(error)}",
        "Start it (`perennial up`), or see PERENNIAL_DATABASE; then clear the task, nothing needs undoing.",
    )


def _message(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip()[:300]}"


def _explanation(subject: str, error: Exception) -> PerennialError | None:
    message = _message(error)
    if _is_of_database(error):
        return _not_answering(subject, error)
    if isinstance(error, OSError) and error.errno in _FULL:
        return StorageFull(
            f"{subject}: no room is left to write: {message}",
            "Free some, then clear the task: what was there is as it was, and what was half written is read by nobody.",
        )
    if _is_refused(error):
        return ServiceUnavailable(
            f"{subject}: the object store does not do it: {message}",
            "Look at its address, its credentials and its health; then clear the task, nothing needs undoing.",
        )
    if _is_damage(error):
        path = _PATH.search(str(error))
        return DamagedFile(
            f"{subject}: {path[1] if path else 'a file of it'} cannot be read: {message}",
            "Restore the file from a backup. A data file of raw rows, features or examples can also be made again: run"
            " <use case>.features for its partition, which replaces it.",
        )
    return None


def _is_of_database(error: Exception) -> bool:
    """Whether the server or its connection is gone, rather than the statement wrong."""
    from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

    return isinstance(error, InterfaceError | OperationalError) or (
        isinstance(error, DBAPIError) and error.connection_invalidated
    )


def _is_refused(error: Exception) -> bool:
    """Whether an object store did not answer, was too busy, or said no."""
    status = _OBJECT_STORE.search(str(error)) if isinstance(error, OSError) else None
    return status is not None and status[1] not in _GONE


def _is_damage(error: Exception) -> bool:
    if isinstance(error, FileNotFoundError):
        return _PATH.search(str(error)) is not None
    if isinstance(error, OSError) and error.errno is not None:
        return False  # The system did not let us read it: that says nothing about the file.
    from pyarrow import ArrowInvalid
    from pydantic import ValidationError
    from pyiceberg.exceptions import ValidationError as InvalidTable

    if isinstance(error, ArrowInvalid | OSError | EOFError | ValidationError | InvalidTable):
        return _DAMAGED.search(f"{type(error).__name__} {_NAMES.sub('', str(error))}") is not None or _in_avro(error)
    # Of a manifest that was cut short pyiceberg decodes whatever comes next, and stumbles over it in many ways.
    return isinstance(error, ValueError | KeyError | AssertionError | IndexError | OverflowError) and _in_avro(error)


def _in_avro(error: Exception) -> bool:
    frames = traceback.walk_tb(error.__traceback__)
    return any("pyiceberg/avro/" in frame.f_code.co_filename for frame, _ in frames)
