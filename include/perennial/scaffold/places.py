"""Locates data, and reads it with DuckDB: one file, a folder of files, or an S3 prefix; CSV or Parquet.

What lies on the web or in a database is brought into a file first (`remote`), and its place remembers where it is from.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import duckdb

from perennial._common.sql_quoting import quote_literal
from perennial.errors import InvalidParams
from perennial.sources.files import NULLS, csv_relation, escaped

_CSV = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".txt", ".txt.gz")
_PARQUET = (".parquet", ".pq")
#: A file's first bytes, read from, that tell nothing of a header.
_NUMBER = re.compile(r"^[-+]?[0-9.,]+$")
#: A table of more columns is wide; so many expressions make a query over one.
_WIDE, _PART = 64, 100


@dataclass(frozen=True)
class Place:
    """Data that can be read again and again.

    Attributes:
        address: A file, or a pattern of files (`/data/sales/**/*.parquet`), absolute; or an `s3://` address of either.
        format: Of all its files.
        delimiter, quote: Of CSV files.
        skip: Lines of a CSV file before its header.
        origin: Where it was brought from; empty: it is read where it lies.
        dialect: Of a database, SQLAlchemy's name of its kind; empty: it is no table of one.
        unread: Column -> why it was not brought.
        table: A table of the look's database that holds what is written in the files, read once; empty: there is none.
    """

    address: str
    format: Literal["csv", "parquet"]
    delimiter: str = ","
    quote: str = '"'
    skip: int = 0
    origin: str = ""
    dialect: str = ""
    unread: Mapping[str, str] = field(default_factory=dict)
    table: str = ""

    @property
    def named(self) -> str:
        """What people call it."""
        return self.origin or self.address

    @property
    def reader(self) -> str:
        """What SQL reads it from, with `$data` for the address. Every value of a CSV file is text."""
        return self.table or self.reading_null(NULLS)

    def reading_null(self, texts: Sequence[str]) -> str:
        """`reader`, if other texts of a CSV file stand for "no value"."""
        if self.format == "parquet":
            return "read_parquet($data, union_by_name = true)"
        return csv_relation("$data", self.delimiter, self.quote, self.skip, texts)


def connect(address: str, memory: str, folder: Path) -> duckdb.DuckDBPyConnection:
    """A connection that spills into `folder`, holds a database there, and reads what `address` names.

    Args:
        address: As `Place.address`.
        memory: How much DuckDB may hold in memory, such as `1GB`.
        folder: For the database and for what exceeds `memory`.

    Raises:
        InvalidParams: the address is of a kind that cannot be read.
    """
    connection = duckdb.connect(str(folder / "looked.duckdb"))
    connection.execute(f"SET TimeZone = 'UTC'; SET memory_limit = '{memory}'")
    connection.execute(f"SET temp_directory = {quote_literal(str(folder))}")
    connection.execute("SET autoinstall_known_extensions = false; SET autoload_known_extensions = false")
    if address.startswith("s3://"):
        from fsspec.implementations.arrow import ArrowFSWrapper

        connection.register_filesystem(ArrowFSWrapper(_store(address)))
    return connection


def find(given: str) -> Place:
    """The place that somebody means by `given`; a folder or prefix means all its files.

    Raises:
        InvalidParams: there is nothing, or nothing that can be read.
    """
    scheme = given.partition("://")[0] if "://" in given else ""
    if scheme not in ("", "s3", "file"):
        raise InvalidParams(
            f"--data {given}: {scheme}:// is not read.",
            "Files, folders, s3://, http:// and https:// addresses are, and tables by an Airflow connection:"
            " connection://CONNECTION_ID/SCHEMA.TABLE.",
        )
    if scheme == "s3":
        return _in_s3(given)
    path = Path(given.removeprefix("file://")).expanduser().resolve()
    if path.is_dir():
        files = sorted(str(file) for file in path.rglob("*") if file.is_file() and not file.name.startswith((".", "_")))
        return _of_files(given, str(path), files)
    if not path.is_file():
        near = sorted(file.name for file in path.parent.glob("*")) if path.parent.is_dir() else []
        from perennial._common.suggestions import did_you_mean

        raise InvalidParams(
            f"--data {given}: there is no such file or folder.", f"{did_you_mean(path.name, near)}Give one that exists."
        )
    if not path.stat().st_size:
        raise InvalidParams(f"--data {given}: the file is empty.", "Give one with a header and rows.")
    kind = _format(path.name)
    if kind is None:
        raise InvalidParams(
            f"--data {given}: {path.suffix or 'a file without an ending'} is not read.",
            f"Give a CSV or Parquet file; their names end with {', '.join((*_CSV, *_PARQUET))}.",
        )
    return Place(escaped(str(path)), kind)


def _in_s3(given: str) -> Place:
    from pyarrow import fs

    bucket_and_prefix = given.removeprefix("s3://").rstrip("/")
    try:
        store = _store(given)
        if store.get_file_info(bucket_and_prefix).type == fs.FileType.File:
            kind = _format(given)
            return Place(given, kind) if kind else _of_files(given, given, [given])
        infos = store.get_file_info(fs.FileSelector(bucket_and_prefix, recursive=True, allow_not_found=True))
    except OSError as error:
        raise InvalidParams(
            f"--data {given} cannot be listed: {str(error).splitlines()[0]}",
            "Set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_DEFAULT_REGION (and AWS_ENDPOINT_URL_S3 for other"
            " stores), and check the bucket's name.",
        ) from error
    files = sorted(f"s3://{info.path}" for info in infos if info.type == fs.FileType.File and info.size)
    return _of_files(given, f"s3://{bucket_and_prefix}", files)


def _store(address: str) -> Any:
    """The S3 of an address' bucket, as the environment's `AWS_*` variables describe it."""
    from pyarrow import fs

    return fs.FileSystem.from_uri("/".join(address.split("/")[:3]))[0]


def _of_files(given: str, root: str, files: list[str]) -> Place:
    """All files of a folder or prefix that are of one format."""
    formats = {kind for file in files if (kind := _format(file))}
    if len(formats) != 1:
        what = "CSV and Parquet files" if formats else "no CSV or Parquet files"
        raise InvalidParams(f"--data {given} holds {what}.", "Give a folder with files of one of the two formats.")
    endings = {ending for file in files for ending in (*_CSV, *_PARQUET) if file.lower().endswith(ending)}
    endings -= {short for short in endings for long in endings if short != long and long.endswith(short)}
    if len(endings) > 1:
        raise InvalidParams(
            f"--data {given} holds files that end with {' and '.join(sorted(endings))}.", "Give files of one kind."
        )
    ending = next(iter(endings))
    return Place(f"{escaped(root)}/**/*{ending}", formats.pop())


def _format(name: str) -> Literal["csv", "parquet"] | None:
    lower = name.lower()
    return "csv" if lower.endswith(_CSV) else "parquet" if lower.endswith(_PARQUET) else None


def with_dialect(connection: duckdb.DuckDBPyConnection, place: Place) -> Place:
    """The place, with how its CSV files are parted; as DuckDB finds it in their beginning.

    Args:
        connection: DuckDB.
        place: The data.

    Raises:
        InvalidParams: they cannot be read, or have no header.
    """
    if place.format == "parquet":
        return place
    try:
        first = connection.execute("SELECT min(file) FROM glob($data)", {"data": place.address}).fetchall()[0][0]
        (row,) = connection.execute(
            "SELECT Delimiter, Quote, SkipRows FROM sniff_csv($data)", {"data": first}
        ).fetchall()
        quote = row[1] if row[1] not in ("", "(empty)") else '"'
        sniffed = replace(place, delimiter=row[0].replace("\\t", "\t"), quote=quote, skip=row[2])
        header = [column[0] for column in _describe(connection, sniffed)]
    except duckdb.Error as error:
        raise InvalidParams(
            f"--data {place.named} cannot be read as CSV: {str(error).splitlines()[0]}",
            "Look at its first lines: one header, the same number of values in each line, UTF-8.",
        ) from error
    if header and all(_NUMBER.match(name) for name in header):
        raise InvalidParams(
            f"--data {place.named} has no header: its first line is {', '.join(header[:5])}.",
            "Write the columns' names into a first line.",
        )
    return sniffed


def _describe(connection: duckdb.DuckDBPyConnection, place: Place) -> list[tuple[str, str]]:
    rows = connection.execute(f"DESCRIBE SELECT * FROM {place.reader}", {"data": place.address}).fetchall()  # noqa: S608
    return [(name, kind) for name, kind, *_ in rows]


def columns(connection: duckdb.DuckDBPyConnection, place: Place) -> list[tuple[str, str]]:
    """(name, DuckDB's type) of every column as it lies there.

    Args:
        connection: DuckDB.
        place: The data.

    Raises:
        InvalidParams: it cannot be read.
    """
    try:
        return _describe(connection, place)
    except duckdb.Error as error:
        raise InvalidParams(
            f"--data {place.named} cannot be read: {str(error).splitlines()[0]}", "Check that the files are whole."
        ) from error


def prepared_if_wide(connection: duckdb.DuckDBPyConnection, place: Place, columns: int) -> Place:
    """The place; a wide CSV file as a copy that gives some of its columns without reading all of them again.

    Args:
        connection: DuckDB.
        place: The data.
        columns: How many columns it has.

    Raises:
        InvalidParams: it cannot be read to its end.
    """
    if columns <= _WIDE:
        return place
    # It compares each expression of a query with all others, and those of different columns have nothing in common.
    connection.execute("SET disabled_optimizers = 'common_subexpressions'")
    if place.format == "parquet":
        return place
    read(connection, place, f"CREATE TABLE as_written AS SELECT * FROM {place.reader}")  # noqa: S608
    return replace(place, table="as_written")


def read_each(
    connection: duckdb.DuckDBPyConnection, place: Place, expressions: Sequence[str], relation: str = ""
) -> list[Any]:
    """The value of each aggregate over the data, in their order.

    DuckDB plans a query of a thousand expressions for minutes, so that they are asked for in parts.

    Args:
        connection: DuckDB.
        place: The data.
        expressions: SQL over its columns.
        relation: What they are over; empty: the place.

    Raises:
        InvalidParams: it cannot be read to its end.
    """
    # Each part of a narrow CSV file would be a pass over the file.
    size = _PART if relation or place.table or place.format == "parquet" else max(len(expressions), 1)
    values: list[Any] = []
    for first in range(0, len(expressions), size):
        some = ", ".join(expressions[first : first + size])
        values += read(connection, place, f"SELECT {some} FROM {relation or place.reader}")[0]  # noqa: S608
    return values


def read(connection: duckdb.DuckDBPyConnection, place: Place, sql: str) -> list[tuple[Any, ...]]:
    """Rows of a query over the place's `reader`.

    Args:
        connection: DuckDB.
        place: The data.
        sql: The query, with `$data` for the address.

    Raises:
        InvalidParams: it cannot be read to its end.
    """
    try:
        return connection.execute(sql, {"data": place.address} if "$data" in sql else None).fetchall()
    except duckdb.Error as error:
        raise InvalidParams(
            f"--data {place.named} cannot be read to its end: {str(error).splitlines()[0]}",
            "Fix the line or the file that it names.",
        ) from error
