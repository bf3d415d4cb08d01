"""Reading a small table of the lake at a glance: what `perennial status` needs, without the seconds of importing
pyiceberg, SQLAlchemy and pandas.

It follows Iceberg's format on its shortest path: the catalog names a table's metadata, the metadata its snapshot, that
its manifests, those its Parquet files. Whatever is off this path (another catalog, an object store, files of deletes)
goes through `perennial.lake`, which gives the same rows.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, cast

from perennial import server
from perennial.errors import ServiceUnavailable
from perennial.settings import settings

_DATA, _DELETED = 0, 2  #: Iceberg's content of a manifest, status of an entry.


class _OffThePath(Exception):
    """The table is kept in a way that this module does not know."""


def records(
    identifiers: list[str], columns: Mapping[str, Sequence[str]] | None = None
) -> dict[str, list[dict[str, Any]]]:
    """All rows of small tables, as `lake.records` gives them; none of a table that does not exist.

    Args:
        identifiers: Which tables.
        columns: Of a table named here only these; one that it does not have is null.

    Raises:
        ServiceUnavailable: the catalog's database cannot be reached.
    """
    wanted = columns or {}
    try:
        where = _metadata_files(identifiers)
        return {name: _rows(where[name], wanted.get(name)) if name in where else [] for name in identifiers}
    except _OffThePath:
        return _through_the_lake(identifiers, wanted)


def _through_the_lake(identifiers: list[str], columns: Mapping[str, Sequence[str]]) -> dict[str, list[dict[str, Any]]]:
    from sqlalchemy.exc import OperationalError

    from perennial import lake

    found = {}
    try:
        for name in identifiers:
            table = lake.table(name) if name in columns else None
            held = set(table.schema().column_names) if table is not None else set()
            wanted = columns.get(name, ())
            rows = lake.records(name, columns=[column for column in wanted if column in held] or ("*",))
            found[name] = [{column: row.get(column) for column in wanted or row} for row in rows]
    except OperationalError as error:
        raise ServiceUnavailable(f"The catalog does not answer: {str(error).splitlines()[0]}") from error
    return found


def _metadata_files(identifiers: list[str]) -> dict[str, Path]:
    """The metadata file of each table that the SQL catalog on database `lake` knows."""
    import psycopg2

    if "type" in settings().catalog:
        raise _OffThePath
    try:
        with closing(_connect()) as connection, connection.cursor() as cursor:
            cursor.execute(
                "SELECT table_namespace || '.' || table_name, metadata_location FROM iceberg_tables"
                " WHERE catalog_name = 'perennial' AND table_namespace || '.' || table_name = ANY(%s)",
                (identifiers,),
            )
            return {name: _local(location) for name, location in cursor.fetchall()}
    except psycopg2.errors.UndefinedTable:
        return {}  # Nothing was ever written to this lake.
    except psycopg2.OperationalError as error:
        raise ServiceUnavailable(f"PostgreSQL does not answer: {str(error).splitlines()[0]}") from error


def _connect() -> Any:
    import psycopg2

    configured = settings().database
    if configured is None:
        found = server.address()
        return psycopg2.connect(dbname="lake", user=found.user, host=found.socket, port=found.port)
    # The driver is SQLAlchemy's addition to the URL; `dbname` wins over the one in it.
    return psycopg2.connect(re.sub(r"^(\w+)\+\w+://", r"\1://", configured.get_secret_value()), dbname="lake")


def _rows(metadata_file: Path, wanted: Sequence[str] | None) -> list[dict[str, Any]]:
    """The rows of a table's current snapshot, with the columns of its current schema, or of those the wanted ones."""
    import duckdb

    metadata = json.loads(metadata_file.read_text())
    schema = next(one for one in metadata["schemas"] if one["schema-id"] == metadata["current-schema-id"])
    names = wanted or [field["name"] for field in schema["fields"]]
    files = [str(file) for file in _data_files(metadata)]
    if not files:
        return []
    with duckdb.connect() as engine:
        engine.execute("SET TimeZone = 'UTC'")
        # A folder called partition=2024-01-01 is not to make a date of the column: the files hold it, as it is.
        held = engine.read_parquet(files, union_by_name=True, hive_partitioning=False)
        columns = [name for name in names if name in held.columns]
        found = held.select(*map(duckdb.ColumnExpression, columns)).fetchall()
    return [dict.fromkeys(names) | dict(zip(columns, row, strict=True)) for row in found]


def _data_files(metadata: dict[str, Any]) -> Iterator[Path]:
    """The Parquet files of the current snapshot."""
    for snapshot in metadata["snapshots"]:
        if snapshot["snapshot-id"] == metadata["current-snapshot-id"]:
            for manifest in _avro(_local(snapshot["manifest-list"])):
                if manifest["content"] != _DATA:
                    raise _OffThePath
                for entry in _avro(_local(manifest["manifest_path"])):
                    if entry["status"] != _DELETED:
                        yield _local(entry["data_file"]["file_path"])


def _avro(file: Path) -> list[dict[str, Any]]:
    """The records of an Avro file."""
    import fastavro

    with file.open("rb") as stream:
        return cast(list[dict[str, Any]], list(fastavro.reader(stream)))


def _local(location: str) -> Path:
    path = location.removeprefix("file://")
    if "://" in path:
        raise _OffThePath
    return Path(path)
