"""CSV and Parquet files, on a disk, in S3, on the web or in a Python package: their rows, typed as declared."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa

from perennial._common.duckdb_session import open_session
from perennial.batches import Batch, FileCounts, collect, unreadable_rows
from perennial.errors import BadBatch
from perennial.ingestion import places
from perennial.partitions import Partition
from perennial.sources import csv_dialects, csv_text, web
from perennial.sources.columns import Schema, columns
from perennial.sources.csv_files import CsvFile
from perennial.sources.csv_text import Dialect, UnreadableFile
from perennial.sources.delivery import AGAIN, Delivery
from perennial.sources.listing import S3, DataFile, s3
from perennial.sources.parquet_records import ParquetRecords
from perennial.sources.part_reading import TimeRange
from perennial.sources.record_sources import CsvRecords, RecordSource, one_line
from perennial.sources.typed import FILE, Named, Unreadable, check_columns, typed

if TYPE_CHECKING:
    from fsspec.implementations.arrow import ArrowFSWrapper

#: What stands for "no value" in CSV files.
NULLS = ("", "NA", "N/A", "NaN", "nan", "null", "NULL", "None", "#N/A")
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Files:
    """Where the files of a use case are, and how they are written.

    Attributes:
        use_case: Its name, for errors.
        default: A file, a folder (all files in it and below), or a pattern of files (`/data/**/*.parquet`); an `s3://`
            address of one, a `http(s)://` or `connection://` address of a file on the web, or `package://NAME/FOLDER`:
            a folder of an installed Python package. `sources.listing` says which files of a folder are read.
        variable: Environment variable that names another place.
        format: Of all files.
        delimiter, quote: Of CSV files, which have one header. A file in which the declared columns are not there so,
            or have values between other quotes, is read in its own dialect if they are there then.
        escape: Before a character of a CSV file that is meant literally, such as a backslash; empty: there is none.
        encoding: Of CSV files that are neither UTF-8 nor begin with a byte order mark.
        skip: Lines of a CSV file before its header.
        nulls: What stands for "no value" in a CSV file.
        unreadable: What follows from a value that is not of its column's type; see `sources.typed.Unreadable`.
    """

    use_case: str
    default: str
    variable: str = ""
    format: web.Format = "csv"
    delimiter: str = ","
    quote: str = '"'
    escape: str = ""
    encoding: str = "utf-8"
    skip: int = 0
    nulls: Sequence[str] = NULLS
    unreadable: Unreadable = "quarantine"

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

        Records that cannot be read go past it to quarantine; where nobody collects them, they are an error. A CSV file
        that is there only as `<file>.zip` is read from it.

        Args:
            schema: The columns, and how they are read.
            partition: Whose rows; None: all.
            time: The column of the schema that says which partition a row is of.
            file: Its name in the folder; empty: the place is a file, a folder or a pattern of files itself.
            data: Another place, before the one that the environment names, and the default.
            since: Rows before it are left out; None: no such bound.
            until: Rows from it on are left out; None: no such bound.

        Raises:
            BadBatch: a file is missing, truncated or empty, or lacks a column; or a record cannot be read, and nobody
                collects it.
            ServiceUnavailable: the server of an address does not answer, again and again.
        """
        batch = self.read_batch(schema, partition, time, file=file, data=data, since=since, until=until)
        return handed_over(batch, self.use_case, self.unreadable)

    def read_batch(
        self,
        schema: Schema,
        partition: Partition | None = None,
        time: str = "",
        *,
        file: str = "",
        data: str | Path | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Batch:
        """The rows of a partition with the records that cannot be read, and what became of the records of each file.

        Args:
            schema: The columns, and how they are read.
            partition: Whose rows; None: all.
            time: The column of the schema that says which partition a row is of.
            file: Its name in the folder; empty: the place is a file, a folder or a pattern of files itself.
            data: Another place, before the one that the environment names, and the default.
            since: Rows before it are left out; None: no such bound.
            until: Rows from it on are left out; None: no such bound.

        Raises:
            BadBatch: a file is missing, truncated or empty, or lacks a column.
            ServiceUnavailable: the server of an address does not answer, again and again.
        """
        place = places.find(self.variable, self.default, data)
        part = TimeRange.of(partition, time, since, until) if partition else None
        with (
            Delivery(self.use_case, place, self.format, self.variable).listed(file) as (listing, names),
            open_session() as connection,
        ):
            connection.execute("SET autoinstall_known_extensions = false")
            if place.startswith(S3):
                connection.register_filesystem(_s3(place))
            batches, damaged = [], []
            for each in listing.files:
                named = Named(self.use_case, names.get(each.address, each.address))
                try:
                    batches.append(self._read_file(connection, each, schema, named, part))
                except (UnreadableFile, duckdb.Error, OSError) as error:
                    # Of one file nobody can tell whose rows it holds; of several, the others are read.
                    is_alone = len(listing.files) == 1 or part is None
                    problem = self._damage(error, named, place, is_alone=is_alone)
                    log.warning("%s is quarantined as a whole: %s", named, problem)
                    damaged.append(self._quarantined(each, named, problem))
            if not batches:
                first = damaged[0].unreadable.slice(0, 1).to_pylist()[0]
                raise BadBatch(
                    f"Use case {self.use_case!r}: no file of {places.shown(place)} can be read as {self.format};"
                    f" {first['file']}: {first['problem']}.",
                    AGAIN,
                )
        return _together([*batches, *damaged], listing.left_out, place)

    def _read_file(
        self,
        connection: duckdb.DuckDBPyConnection,
        file: DataFile,
        schema: Schema,
        named: Named,
        part: TimeRange | None,
    ) -> Batch:
        if self.format == "parquet":
            return self._typed(connection, ParquetRecords(connection, file.address, file.folders), schema, named, part)
        sources = [each.source for each in columns(schema).values()]
        csv, own = self._csv_file(file, sources)
        try:
            batch = self._typed(connection, CsvRecords(csv), schema, named, part)
        except UnreadableFile:
            if own:
                raise
            another = self._in_own_dialect(file, sources)
            if another is None or another.dialect == csv.dialect:
                raise
            return _noted(self._typed(connection, CsvRecords(another), schema, named, part), another.dialect)
        if csv.ragged and not own:
            another = self._in_own_dialect(file, sources)
            # Other quotes alone may as well join lines that are none of one record.
            if another is not None and replace(another.dialect, quote=csv.dialect.quote) != csv.dialect:
                again = self._typed(connection, CsvRecords(another), schema, named, part)
                if len(another.ragged) < len(csv.ragged):
                    return _noted(again, another.dialect)
        return _noted(batch, csv.dialect) if own else batch

    def _csv_file(self, file: DataFile, sources: Sequence[str]) -> tuple[CsvFile, bool]:
        """The file in the declared dialect or, if it has the columns only so, in its own; and whether it is that."""
        problem: UnreadableFile | None = None
        declared: CsvFile | None = None
        try:
            encoding = csv_dialects.encoding_of(file.address, self.encoding) if self.encoding != "utf-8" else "utf-8"
            dialect = Dialect(self.delimiter, self.quote, self.escape, self.skip, encoding)
            declared = CsvFile(file.address, dialect, self.nulls, file.folders)
            fits = set(sources) <= set(declared.header)
            if fits and not csv_dialects.is_quoted_otherwise(file.address, dialect):
                return declared, False
        except UnreadableFile as error:
            problem = error
        own = self._in_own_dialect(file, sources)
        if own is not None and (declared is None or own.dialect != declared.dialect):
            return own, True
        if declared is None:
            assert problem is not None  # noqa: S101
            raise problem
        return declared, False

    def _in_own_dialect(self, file: DataFile, sources: Sequence[str]) -> CsvFile | None:
        """The file as it is written, if it has the columns then."""
        try:
            found = CsvFile(file.address, csv_dialects.detect(file.address, self.encoding), self.nulls, file.folders)
        except UnreadableFile:
            return None
        return found if set(sources) <= set(found.header) else None

    def _typed(
        self,
        connection: duckdb.DuckDBPyConnection,
        scan: RecordSource,
        schema: Schema,
        named: Named,
        part: TimeRange | None,
    ) -> Batch:
        """The rows of a file. One that lacks a column stops the partitions only that it holds records of."""
        declared = columns(schema)
        kinds = scan.kinds
        absent = [each.source for each in declared.values() if each.source not in kinds]
        if not absent or part is None or part.time not in declared:
            return typed(connection, scan, schema, named, part, self.unreadable)
        if declared[part.time].source in absent:
            has = ", ".join(kinds)
            raise UnreadableFile(f"it lacks column {declared[part.time].source!r}, the time of its rows; it has {has}")
        batch = typed(connection, scan, {part.time: declared[part.time]}, named, part)
        if batch.rows.num_rows or any(batch.unreadable["is_placed"].to_pylist()):
            check_columns(declared, kinds, named, part)
        return Batch(pa.table({}), batch.unreadable, batch.files)

    def _damage(self, error: Exception, named: Named, place: str, *, is_alone: bool) -> str:
        """What is wrong with a file that is quarantined as a whole.

        Raises:
            BadBatch: it is the only one; or not the file is at fault, but how it is reached or read.
        """
        hint = f"{AGAIN} If it is written in another way, change {named.declaration}."
        if isinstance(error, UnreadableFile):
            if is_alone:
                raise BadBatch(f"{named} cannot be read as {self.format}: {error.problem}.", hint) from error
            return error.problem
        if is_alone or not _is_damage(error, place):
            raise BadBatch(f"{named} cannot be read as {self.format} ({one_line(error)}).", hint) from error
        return f"it cannot be read to its end ({one_line(error)})"

    def _quarantined(self, file: DataFile, named: Named, problem: str) -> Batch:
        """All records of a file that cannot be read as a whole."""
        dialect = Dialect(self.delimiter, self.quote, self.escape, self.skip)
        found: list[tuple[int | None, str]] = []
        if self.format == "csv":
            try:
                with csv_text.text_of(file.address, self.encoding, "backslashreplace") as text:
                    found += [(line, content) for line, content, _ in csv_text.records(text, dialect)][1:]
            except (OSError, UnicodeError) as error:
                log.info("%s: nothing of it can be shown (%s)", named, error)
        found = found or [(None, "")]
        fixed = {"file": named.place, "problem": problem, "reason": FILE, "is_placed": False}
        records = [{**fixed, "line": line, "text": content} for line, content in found]
        counts = FileCounts(named.place, len(records), 0, len(records), 0)
        return Batch(pa.table({}), unreadable_rows(records), (counts,))


def handed_over(batch: Batch, use_case: str, unreadable: Unreadable) -> pa.Table:
    """The rows of a batch, once what cannot be read is in the hands of whoever collects it.

    Args:
        batch: What was read.
        use_case: Its name, for errors.
        unreadable: Whether a record that cannot be read stops the batch in any case.

    Raises:
        BadBatch: a record cannot be read, and nobody collects it.
    """
    for file in batch.files:
        if file.missing:
            log.warning("%s: %d values cannot be read and are missing", file.file, file.missing)
    collects = unreadable != "error" and collect(batch)
    if batch.unreadable.num_rows and not collects:
        first = batch.unreadable.slice(0, 1).to_pylist()[0]
        where = f", line {first['line']}" if first["line"] else ""
        count = batch.unreadable.num_rows
        raise BadBatch(
            f"Use case {use_case!r}: {first['file']}{where}: {first['problem']}; {count} of the partition's records"
            " cannot be read.",
            "If the source changed its format, change include/use_cases/"
            f"{use_case}/source.py; else have it send the data again.",
        )
    return batch.rows


def _is_damage(error: Exception, place: str) -> bool:
    """Whether an error says that a file is damaged; that a store cannot be read now is another thing."""
    kinds = (
        (duckdb.InvalidInputException,) if place.startswith(S3) else (duckdb.InvalidInputException, duckdb.IOException)
    )
    return isinstance(error, kinds)


def _noted(batch: Batch, dialect: Dialect) -> Batch:
    log.warning("%s is not written as declared, and is read as %s", batch.files[0].file, dialect)
    return replace(batch, files=tuple(replace(file, dialect=str(dialect)) for file in batch.files))


def _together(batches: Sequence[Batch], left_out: dict[str, str], place: str) -> Batch:
    typed_rows = [batch.rows for batch in batches if batch.rows.num_columns]
    files = tuple(file for batch in batches for file in batch.files)
    unreadable = pa.concat_tables([batch.unreadable for batch in batches])
    rows = pa.concat_tables(typed_rows) if typed_rows else pa.table({})
    log.info(
        "%s: %d files, %d records: %d of the partition, %d unreadable, %d elsewhere; %d files left out%s",
        place,
        len(files),
        sum(file.total for file in files),
        rows.num_rows,
        unreadable.num_rows,
        sum(file.elsewhere for file in files),
        len(left_out),
        "".join(f"; {address} {why}" for address, why in list(left_out.items())[:10]),
    )
    return Batch(rows, unreadable, files, left_out)


def _s3(address: str) -> ArrowFSWrapper:
    """The S3 of an address' bucket, as DuckDB reads it."""
    from fsspec.implementations.arrow import ArrowFSWrapper

    return ArrowFSWrapper(s3(address)[0])
