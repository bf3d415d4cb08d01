"""CSV and Parquet files, on a disk, in S3, on the web or in a Python package: their rows, typed as declared."""

from __future__ import annotations

import re
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa

from perennial._common.duckdb_session import open_session
from perennial._common.sql_quoting import quote_literal
from perennial.errors import BadBatch
from perennial.ingestion import places
from perennial.partitions import Partition
from perennial.sources import web, web_address
from perennial.sources.columns import Schema
from perennial.sources.typed import Named, TimeRange, Unreadable, typed

if TYPE_CHECKING:
    from fsspec.implementations.arrow import ArrowFSWrapper

#: What stands for "no value" in CSV files.
NULLS = ("", "NA", "N/A", "NaN", "nan", "null", "NULL", "None", "#N/A", "inf", "-inf")
PACKAGE, S3 = "package://", "s3://"
_PATTERN = re.compile(r"([*?\[])")
_AGAIN = "Fetch the file again, then clear the failed task; nothing of it was written."


@dataclass(frozen=True)
class Files:
    """Where the files of a use case are, and how they are written.

    Attributes:
        use_case: Its name, for errors.
        default: A file, a folder, or a pattern of files (`/data/**/*.parquet`); an `s3://` address of one, a
            `http(s)://` or `connection://` address of a file on the web, or `package://NAME/FOLDER`: a folder of an
            installed Python package.
        variable: Environment variable that names another place.
        format: Of all files.
        delimiter, quote: Of CSV files, which have one header.
        skip: Lines of a CSV file before its header.
        nulls: What stands for "no value" in a CSV file.
        unreadable: What follows from a value that is not of its column's type.
    """

    use_case: str
    default: str
    variable: str = ""
    format: web.Format = "csv"
    delimiter: str = ","
    quote: str = '"'
    skip: int = 0
    nulls: Sequence[str] = NULLS
    unreadable: Unreadable = "error"

    def read(
        self,
        schema: Schema,
        partition: Partition | None = None,
        time: str = "",
        *,
        file: str = "",
        data: str | Path | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> pa.Table:
        """The rows of a partition, in the order of the files, or all rows.

        A CSV file that is there only as `<file>.zip` is read from it.

        Args:
            schema: The columns, and how they are read.
            partition: Whose rows; None: all.
            time: The column of the schema that says which partition a row is of.
            file: Its name in the folder; empty: the place is a file, or a pattern of files, itself.
            data: Another place, before the one that the environment names, and the default.
            since: Rows before it are left out; None: no such bound.
            until: Rows from it on are left out; None: no such bound.

        Raises:
            BadBatch: a file is missing, truncated or empty, lacks a column, or holds a value that is not of its
                column's type.
            ServiceUnavailable: the server of an address does not answer, again and again.
        """
        place = places.find(self.variable, self.default, data)
        part = TimeRange.of(partition, time, since, until) if partition else None
        with self._opened(place, file) as (address, shown), open_session() as connection:
            named = Named(self.use_case, shown)
            connection.execute("SET autoinstall_known_extensions = false")
            if address.startswith(S3):
                connection.register_filesystem(_s3(address))
            try:
                return typed(connection, self._relation(address), schema, named, part, self.unreadable)
            except (duckdb.Error, OSError) as error:
                raise BadBatch(
                    f"{named} cannot be read as {self.format} ({str(error).splitlines()[0]}).",
                    f"{_AGAIN} If it is written in another way, change {named.declaration}.",
                ) from error

    def _relation(self, address: str) -> str:
        if self.format == "parquet":
            return f"read_parquet({quote_literal(address)}, union_by_name = true)"
        return csv_relation(quote_literal(address), self.delimiter, self.quote, self.skip, self.nulls)

    @contextmanager
    def _opened(self, place: str, file: str) -> Iterator[tuple[str, str]]:
        """What DuckDB reads, and what people call it."""
        address = f"{place.rstrip('/')}/{file}" if file else place
        if web_address.is_address(place):
            with web.local(address, self.format) as fetched:
                yield escaped(fetched), web_address.shown(address)
        elif place.startswith(S3):
            yield address, address
        else:
            path = (self._in_package(place) if place.startswith(PACKAGE) else Path(place)) / file
            with tempfile.TemporaryDirectory(prefix="perennial-files-") as folder:
                yield self._on_disk(path, Path(folder))

    def _on_disk(self, path: Path, folder: Path) -> tuple[str, str]:
        zipped = path.with_name(f"{path.name}.zip")
        if path.is_file():
            if not path.stat().st_size:
                raise BadBatch(f"{Named(self.use_case, str(path))} is empty.", _AGAIN)
            return escaped(str(path)), str(path)
        if zipped.is_file():
            try:
                with zipfile.ZipFile(zipped) as archive:
                    return escaped(archive.extract(path.name, folder)), str(zipped)
            except (zipfile.BadZipFile, zlib.error, EOFError, KeyError) as error:
                what = f"is truncated or not a zip file holding {path.name} ({error})"
                raise BadBatch(f"{Named(self.use_case, str(zipped))} {what}.", _AGAIN) from error
        if _PATTERN.search(str(path)):
            return str(path), str(path)
        raise BadBatch(f"Use case {self.use_case!r}: there is no file {path}.", f"Deliver it{self._elsewhere}.")

    def _in_package(self, place: str) -> Path:
        """The folder in a package, which is not imported: its files need none of its code."""
        name, _, folder = place.removeprefix(PACKAGE).partition("/")
        package = find_spec(name)
        if package is None or not package.submodule_search_locations:
            raise BadBatch(
                f"Use case {self.use_case!r}: the package {name!r}, which holds the data, is not installed.",
                f"Install it{self._elsewhere}.",
            )
        return Path(package.submodule_search_locations[0]) / folder

    @property
    def _elsewhere(self) -> str:
        return f", or point {self.variable} at the right place" if self.variable else ""


def csv_relation(data: str, delimiter: str, quote: str, skip: int, nulls: Sequence[str]) -> str:
    """The SQL table function that reads CSV files, every value as text.

    Args:
        data: Their address, or a pattern of files, as SQL.
        delimiter: Between the values of a line.
        quote: Around a value that holds one.
        skip: Lines before the header.
        nulls: What stands for "no value".
    """
    return (
        f"read_csv({data}, delim = {quote_literal(delimiter)}, quote = {quote_literal(quote)}, skip = {skip},"
        f" header = true, all_varchar = true, union_by_name = true, nullstr = [{', '.join(map(quote_literal, nulls))}])"
    )


def escaped(path: str) -> str:
    """A path that DuckDB does not take for a pattern."""
    return _PATTERN.sub(r"[\1]", path)


def _s3(address: str) -> ArrowFSWrapper:
    """The S3 of an address' bucket, as the environment's `AWS_*` variables describe it."""
    from fsspec.implementations.arrow import ArrowFSWrapper
    from pyarrow import fs

    return ArrowFSWrapper(fs.FileSystem.from_uri("/".join(address.split("/")[:3]))[0])
