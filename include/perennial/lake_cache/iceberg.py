"""Reads Iceberg tables in local files without pyiceberg: metadata -> snapshot -> manifests -> Parquet files.

All of these files are written once and never changed, under names that are never used again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from perennial.errors import DamagedFile, PerennialError

Row = dict[str, Any]

_DATA, _DELETED = 0, 2  #: Iceberg's content of a manifest, status of an entry.
#: Files that DuckDB opens at once: enough to share the cost of a query, few enough for any limit of open files.
_TOGETHER = 500


class UnsupportedTableError(Exception):
    """The table is stored in a way that this module does not support; pyiceberg does."""


@dataclass(frozen=True)
class Contents:
    """The files of a snapshot.

    Attributes:
        schema: Name and type of each column, of the table's current schema.
        manifests: Manifest -> the Parquet files that it adds or goes on with, as local paths.
    """

    schema: tuple[tuple[str, str], ...]
    manifests: dict[str, list[str]]

    @property
    def files(self) -> list[str]:
        """The data files of all manifests."""
        return [file for files in self.manifests.values() for file in files]


def contents(location: str, earlier: Mapping[str, list[str]]) -> Contents:
    """The current snapshot of the table whose metadata is at `location`.

    Args:
        location: The metadata file.
        earlier: Manifests that need not be read again, as `Contents.manifests` has them.

    Raises:
        UnsupportedTableError: it is not in local files, or has files of deletes.
        DamagedFile: a file is not there or is cut short.
    """
    metadata = _read(_local(location), lambda path: json.loads(path.read_text()))
    schema = next(one for one in metadata["schemas"] if one["schema-id"] == metadata["current-schema-id"])
    columns = tuple((field["name"], str(field["type"])) for field in schema["fields"])
    manifests: dict[str, list[str]] = {}
    for snapshot in metadata["snapshots"]:
        if snapshot["snapshot-id"] == metadata["current-snapshot-id"]:
            for manifest in _read(_local(snapshot["manifest-list"]), _avro):
                if manifest["content"] != _DATA:
                    raise UnsupportedTableError
                path = manifest["manifest_path"]
                manifests[path] = earlier[path] if path in earlier else list(_data_files(path))
    return Contents(columns, manifests)


def rows(files: Sequence[str], columns: Sequence[str]) -> dict[str, list[Row]]:
    """The rows of each Parquet file, in its order. Times are UTC.

    Args:
        files: Of tables whose columns of one name have one type.
        columns: The keys of each row; a column that a file lacks is null.

    Raises:
        DamagedFile: a file is not there or is cut short.
    """
    import duckdb

    by_file: dict[str, list[Row]] = {file: [] for file in files}
    with duckdb.connect() as engine:
        engine.execute("SET TimeZone = 'UTC'")
        for first in range(0, len(files), _TOGETHER):
            some = list(files[first : first + _TOGETHER])
            with _explaining(f"One of {len(some)} files such as {some[0]}", duckdb.Error):
                # A folder called partition=2024-01-01 is not to make a date of the column: the files hold it, as it is.
                relation = engine.read_parquet(some, union_by_name=True, hive_partitioning=False, filename=True)
                present = [column for column in columns if column in relation.columns]
                absent = dict.fromkeys(columns) if len(present) < len(columns) else {}
                for file, *values in relation.select(*map(duckdb.ColumnExpression, ("filename", *present))).fetchall():
                    by_file[file].append(absent | dict(zip(present, map(_in_utc, values), strict=True)))
    return by_file


def _in_utc(value: Any) -> Any:
    """DuckDB's times carry a time zone of another library: equal, but slower to compute with."""
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) else value


def _data_files(manifest: str) -> Iterator[str]:
    for entry in _read(_local(manifest), _avro):
        if entry["status"] != _DELETED:
            yield str(_local(entry["data_file"]["file_path"]))


def _avro(file: Path) -> list[dict[str, Any]]:
    """The records of an Avro file."""
    import fastavro

    with file.open("rb") as stream:
        return cast(list[dict[str, Any]], list(fastavro.reader(stream)))


def _local(location: str) -> Path:
    path = location.removeprefix("file://")
    if "://" in path:
        raise UnsupportedTableError
    return Path(path)


def _read(file: Path, how: Any) -> Any:
    # What is cut short makes a decoder stumble in many ways.
    with _explaining(str(file), FileNotFoundError, ValueError, EOFError, KeyError, IndexError):
        try:
            return how(file)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise PerennialError(
                f"{file} of the lake may not be read: {type(error).__name__}: {error}",
                "Mend what it says: the rights of that file, or its disk. Nothing says that the file is damaged.",
            ) from error


@contextmanager
def _explaining(subject: str, *errors: type[Exception]) -> Iterator[None]:
    try:
        yield
    except errors as error:
        raise DamagedFile(
            f"{subject} of the lake cannot be read: {type(error).__name__}: {str(error)[:300]}",
            "Restore the lake's files from a backup.",
        ) from error
