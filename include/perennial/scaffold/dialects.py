"""Prepares data for profiling: how CSV files are written, their text as a table, and which columns all files have."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import duckdb

from perennial._common.sql_quoting import quote_ident
from perennial.errors import InvalidParams
from perennial.scaffold import places
from perennial.scaffold.places import Place
from perennial.sources import csv_dialects, csv_quotes, parquet_records
from perennial.sources.columns import is_unsupported
from perennial.sources.csv_files import RECORD, CsvFile
from perennial.sources.csv_text import UnreadableFile
from perennial.sources.listing import DataFile
from perennial.sources.parquet_records import StoredColumn
from perennial.sources.record_sources import one_line

#: A file's first bytes, read from, that tell nothing of a header.
_NUMBER = re.compile(r"^[-+]?[0-9.,]+$")
#: Up to this share of a file's lines may have another number of values than its header.
_RAGGED = 0.05
#: The encoding of a file that is not UTF-8 and has no byte order mark: that of Windows in the west.
_OTHERWISE = "cp1252"


def column_names(connection: duckdb.DuckDBPyConnection, place: Place) -> list[str]:
    """The names of the columns of the first file, as its beginning says.

    Args:
        connection: DuckDB.
        place: The data.

    Raises:
        InvalidParams: it is a Parquet file that cannot be read.
        UnreadableFile: it is a CSV file that cannot be read.
    """
    first = place.files[0]
    if place.format == "parquet":
        return [*_parquet_columns(connection, place, first)]
    dialect = csv_dialects.detect(first.address, _OTHERWISE, only_beginning=True)
    return CsvFile(first.address, dialect, (), first.folders).header


def prepared(connection: duckdb.DuckDBPyConnection, place: Place) -> Place:
    """The place, with how its CSV files are written, as all of each file says; their text is in the connection then.

    Args:
        connection: DuckDB.
        place: The data.

    Raises:
        InvalidParams: a file cannot be read, or has no header.
    """
    if place.format == "parquet":
        return _prepared_parquet(connection, place)
    files: dict[str, CsvFile] = {}
    for file in place.files:
        shown = place.origin or file.address
        try:
            dialect = csv_dialects.detect(file.address, _OTHERWISE)
            files[file.address] = CsvFile(file.address, dialect, (), file.folders)
        except UnreadableFile as error:
            raise InvalidParams(
                f"--data {shown} cannot be read as CSV: {error.problem}.",
                "Correct the file, or leave it out: one header, the same number of values in each line.",
            ) from error
        header = files[file.address].header
        if all(_NUMBER.match(name) for name in header):
            raise InvalidParams(
                f"--data {shown} has no header: its first line is {', '.join(header[:5])}.",
                "Write the columns' names into a first line.",
            )
    place = _with_common_columns(place, {address: file.header for address, file in files.items()})
    place = _with_notes_of_dialects(place, files)
    names = [name for name in next(iter(files.values())).header if name not in place.unread]
    place = replace(place, texts=tuple(names))
    for number, (address, csv) in enumerate(files.items()):
        _load(connection, csv, names, place.origin or address, is_first=not number)
    ragged = [(address, csv) for address, csv in files.items() if csv.ragged]
    if ragged:
        count = sum(len(csv.ragged) for _, csv in ragged)
        address, csv = ragged[0]
        note = (f"{count} lines are left out, and will go to quarantine", _first_ragged(csv, place.origin or address))
        place = replace(place, notes=(*place.notes, note))
    return place


def _with_notes_of_dialects(place: Place, files: Mapping[str, CsvFile]) -> Place:
    """The dialect of most files, whose `encoding` is that of those that are not UTF-8; others are noted."""
    notes = list(place.notes)
    dialects = Counter(replace(csv.dialect, encoding="utf-8") for csv in files.values())
    dialect = dialects.most_common(1)[0][0]
    others = [address for address, csv in files.items() if replace(csv.dialect, encoding="utf-8") != dialect]
    if others:
        notes.append((f"{len(others)} files are read in a dialect of their own", f"{others[0]} is written otherwise"))
    guessed = [address for address, csv in files.items() if csv.dialect.encoding == _OTHERWISE]
    if guessed:
        dialect = replace(dialect, encoding=_OTHERWISE)
        notes.append(
            (f"encoding {_OTHERWISE}", f"{place.origin or guessed[0]} is not UTF-8 and has no byte order mark")
        )
    renamed = {new: old for csv in files.values() for new, old in csv.renamed.items()}
    for what, names in (
        ("columns without a name are called by their position", [new for new, old in renamed.items() if not old]),
        ("columns with the same name are numbered", [new for new, old in renamed.items() if old]),
    ):
        if names:
            notes.append((what, ", ".join(names)))
    return replace(place, dialect_of_csv=dialect, notes=tuple(notes))


def _load(
    connection: duckdb.DuckDBPyConnection, csv: CsvFile, names: Sequence[str], shown: str, *, is_first: bool
) -> None:
    """Put the text of a file into the connection."""
    selected = ", ".join(f"c{number} AS {quote_ident(name)}" for number, name in enumerate(names))
    connection.register("arrived", csv.rows(names))
    start = f"CREATE TABLE {places.TEXT} AS" if is_first else f"INSERT INTO {places.TEXT}"
    misplaced = csv_quotes.misplaced(csv.address, csv.dialect)
    where = f" WHERE {RECORD} NOT IN (SELECT unnest($misplaced))" if misplaced else ""
    try:
        connection.execute(
            f"{start} SELECT {selected} FROM arrived{where}",  # noqa: S608
            {"misplaced": misplaced} if misplaced else None,
        )
    except duckdb.Error as error:
        raise InvalidParams(
            f"--data {shown} cannot be read to its end: {one_line(error)}", "Correct the file."
        ) from error
    finally:
        connection.unregister("arrived")
    if len(csv.ragged) > max(1, _RAGGED * csv.total):
        raise InvalidParams(
            f"--data {shown} cannot be read as CSV: {len(csv.ragged)} of its {csv.total} lines do not fit its header or"
            f" its quotes. The first is {_first_ragged(csv, shown)}.",
            "Correct the file: one header, the same number of values in each line.",
        )


def _first_ragged(csv: CsvFile, shown: str) -> str:
    """Which record of a file is the first that cannot be read, why, and its text."""
    record = min(csv.ragged)
    ((line, text),) = csv.shown([record]).values()
    why = {0: "opens a quote and never closes it", -1: "has a quote out of place"}
    values = csv.ragged[record]
    what = why.get(values, f"has {values} values, and the header {len(csv.header)}")
    return f"line {line} of {shown}, which {what}: {text[:80]!r}"


def _prepared_parquet(connection: duckdb.DuckDBPyConnection, place: Place) -> Place:
    """The place, whose columns are those that the source will read: no value is one that it quarantines."""
    unread, notes = dict(place.unread), list(place.notes)
    headers: dict[str, list[str]] = {}
    own: dict[str, list[str]] = {}
    for file in place.files:
        columns = _parquet_columns(connection, place, file)
        headers[file.address] = [*columns]
        of_folders = {name.lower() for name in file.folders}
        for name, column in columns.items():
            if column is None:
                continue
            if name.lower() in of_folders:
                own.setdefault(name, []).append(file.address)
            if is_unsupported(column.kind):
                unread[name] = f"is of type {column.kind}, which is not supported"
            if column.is_int96 and (count := len(parquet_records.cut_off(file.address, name)[0])):
                shown = place.origin or file.address
                notes.append((f"{count} rows will go to quarantine", f"{name} of {shown} has nanoseconds there"))
    for name, addresses in own.items():
        if len(addresses) < len(place.files):
            unread[name] = f"is a column of some files and a folder's name of others: {addresses[0]} has it itself"
    lower = frozenset(name.lower() for name in own)
    place = replace(place, own=lower, unread=unread, notes=tuple(notes))
    return _with_common_columns(place, headers)


def _parquet_columns(
    connection: duckdb.DuckDBPyConnection, place: Place, file: DataFile
) -> dict[str, StoredColumn | None]:
    """The columns of a file; None: its folders' names give it."""
    try:
        columns = parquet_records.described(connection, file.address)
    except UnreadableFile as error:
        raise InvalidParams(
            f"--data {place.origin or file.address} cannot be read: {error.problem}.", "Check that the file is whole."
        ) from error
    names = {name.lower() for name in columns}
    return {**columns, **{name: None for name in file.folders if name.lower() not in names}}


def _with_common_columns(place: Place, headers: Mapping[str, Sequence[str]]) -> Place:
    """The place, which does not read columns that some of its files lack."""
    unread = dict(place.unread)
    for name in dict.fromkeys(name for header in headers.values() for name in header):
        lacking = [address for address, header in headers.items() if name not in header]
        if lacking:
            unread[name] = f"is not in every file: {lacking[0]} lacks it"
    if headers and all(name in unread for name in next(iter(headers.values()))):
        raise InvalidParams(
            f"--data {place.named}: its files have no column in common.", "Give files of one kind, with one header."
        )
    return replace(place, unread=unread)
