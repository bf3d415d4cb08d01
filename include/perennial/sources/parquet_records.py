"""Parquet files as DuckDB sees them, but for what it reads as another value: their columns' types, and their rows.

DuckDB cuts the nanoseconds of INT96 timestamps off, reads decimals of more than 38 digits as doubles, and takes what
only Arrow's own schema marks (durations, pandas' periods) for plain numbers. So that schema is asked as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from perennial._common.sql_quoting import quote_ident, quote_literal
from perennial.sources import listing
from perennial.sources.columns import DURATION, EXTENSION, LONG_DECIMAL
from perennial.sources.csv_files import RECORD
from perennial.sources.csv_text import UnreadableFile
from perennial.sources.record_sources import one_line

_INT96 = "INT96"
#: Whole numbers to DuckDB; an extension of Arrow's may mean something else by them.
_NUMBERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT")
_ROW_NUMBER = "file_row_number"


class StoredColumn(NamedTuple):
    """A column of a Parquet file.

    Attributes:
        kind: DuckDB's type of it, or one that `sources.columns` adds.
        is_int96: Whether its timestamps are written as INT96, so that DuckDB cuts their nanoseconds off.
    """

    kind: str
    is_int96: bool


def described(connection: duckdb.DuckDBPyConnection, path: str) -> dict[str, StoredColumn]:
    """The columns of a Parquet file.

    Args:
        connection: DuckDB.
        path: The file's path or `s3://` address.

    Raises:
        UnreadableFile: it is no whole Parquet file.
    """
    address = quote_literal(duckdb_address(path))
    try:
        read = connection.execute(f"DESCRIBE FROM read_parquet({address}, hive_partitioning = false)").fetchall()
        asked = f"SELECT name FROM parquet_schema({address}) WHERE precision > 38"  # noqa: S608
        long = {name for (name,) in connection.execute(asked).fetchall()}
        with _opened(path) as file:
            fields: list[pa.Field | None] = list(file.schema_arrow)
            leaves = [file.schema.column(number) for number in range(len(file.schema))]
            stored = {leaf.path: leaf.physical_type for leaf in leaves}
    except pa.ArrowNotImplementedError:
        # What Arrow does not know is no type of its own.
        fields, stored = [None] * len(read), {}
    except (duckdb.Error, OSError, pa.ArrowException) as error:
        raise UnreadableFile(f"it is no whole Parquet file ({one_line(error)})") from error
    found = {}
    for (name, kind, *_), own in zip(read, fields, strict=True):
        if kind == "DOUBLE" and name in long:
            kind = LONG_DECIMAL
        elif own is not None and kind.split("(")[0] in _NUMBERS:
            kind = _meant(own) or kind
        found[name] = StoredColumn(kind, stored.get(own.name if own is not None else name) == _INT96)
    return found


def cut_off(path: str, name: str) -> tuple[np.ndarray, np.ndarray]:
    """The records of a column of INT96 timestamps that have more than microseconds, and how many nanoseconds.

    Args:
        path: The file's path or `s3://` address.
        name: The column.

    Returns:
        (n,) int64 numbers of records, from 1 on, and (n,) int64 nanoseconds, 1 to 999.
    """
    found: list[np.ndarray] = []
    parts: list[np.ndarray] = []
    before = 0
    with _opened(path) as exact, _opened(path, "us") as micro:
        for one, other in zip(exact.iter_batches(columns=[name]), micro.iter_batches(columns=[name]), strict=True):
            # Moments beyond the year 2262 wrap around, and so does the difference, which is right again then.
            nanos, micros = (_numbers(batch.column(0)) for batch in (one, other))
            rest = (nanos - micros * np.uint64(1000)).astype(np.int64)
            position = np.flatnonzero(rest)
            found.append(position + before + 1)
            parts.append(rest[position])
            before += one.num_rows
    return np.concatenate([np.array([], np.int64), *found]), np.concatenate([np.array([], np.int64), *parts])


@dataclass
class ParquetRecords:
    """A Parquet file.

    Attributes:
        path: Its path or `s3://` address.
        folders: Columns that its folders' names give.
    """

    connection: duckdb.DuckDBPyConnection
    path: str
    folders: Mapping[str, str | None]
    kinds: dict[str, str] = field(init=False)
    nulls: Sequence[str] = ()
    is_repeatable: bool = True
    ragged: Mapping[int, str] = field(default_factory=dict)
    total: int = field(init=False)
    _cut: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        stored = described(self.connection, self.path)
        self.kinds = {name: column.kind for name, column in stored.items()}
        try:
            counted = f"SELECT count(*) FROM {self._source()}"  # noqa: S608
            self.total = self.connection.execute(counted).fetchall()[0][0]
            for name, column in stored.items():
                if column.is_int96 and len((cut := cut_off(self.path, name))[0]):
                    # As text, which shows each digit; that of others is read as the moment that it is.
                    self._cut[name], self.kinds[name] = cut, "VARCHAR"
        except (duckdb.Error, OSError, pa.ArrowException) as error:
            raise UnreadableFile(f"it is no whole Parquet file ({one_line(error)})") from error
        # A column of the file itself goes before one of the same name that its folders give.
        self.folders = {name: value for name, value in self.folders.items() if name not in self.kinds}
        self.kinds = dict.fromkeys(self.folders, "VARCHAR") | self.kinds

    def relation(self, connection: duckdb.DuckDBPyConnection, names: Sequence[str]) -> str:
        """See `RecordSource`."""
        # A column of that name is the file's own, and DuckDB offers none of its own then.
        has_own = any(name.lower() == _ROW_NUMBER for name in self.kinds)
        number = "row_number() OVER ()" if has_own else f"{_ROW_NUMBER} + 1"
        source = self._source("" if has_own else f", {_ROW_NUMBER} = true")
        columns = ", ".join(
            [*(f"{self._value(name)} AS c{at}" for at, name in enumerate(names)), f"{number} AS {RECORD}"]
        )
        sql = f"SELECT {columns} FROM {source}"  # noqa: S608
        cut = {at: self._cut[name] for at, name in enumerate(names) if name in self._cut}
        if not cut:
            return f"({sql})"
        others = [f"c{at}" for at in range(len(names)) if at not in cut]
        shown, joined = [], ""
        for at, (records, nanoseconds) in cut.items():
            connection.register(f"cut{at}", pa.table({RECORD: records, "nanoseconds": nanoseconds}))
            joined += f" LEFT JOIN cut{at} ON cut{at}.{RECORD} = moments.{RECORD}"
            text = f"strftime(c{at}, '%Y-%m-%d %H:%M:%S.%f') || format('{{:03d}}', cut{at}.nanoseconds)"
            shown.append(f"coalesce({text}, CAST(c{at} AS VARCHAR)) AS c{at}")
        selected = ", ".join([*others, *shown, f"moments.{RECORD} AS {RECORD}"])
        return f"(SELECT {selected} FROM ({sql}) AS moments{joined} ORDER BY {RECORD})"  # noqa: S608

    def _source(self, option: str = "") -> str:
        return f"read_parquet({quote_literal(duckdb_address(self.path))}, hive_partitioning = false{option})"

    def _value(self, name: str) -> str:
        value = self.folders.get(name)
        if name not in self.folders:
            return quote_ident(name)
        return "CAST(NULL AS VARCHAR)" if value is None else quote_literal(value)

    def check(self) -> None:
        """Nothing stops it that DuckDB does not name."""

    def shown(self, records: Sequence[int]) -> dict[int, tuple[int, str]]:
        """It has no lines."""
        return {}


def duckdb_address(path: str) -> str:
    """What DuckDB is given for a file's path or `s3://` address, so that it takes no sign in it for a pattern."""
    return path if path.startswith(listing.S3) else listing.escaped(path)


def _meant(own: pa.Field) -> str:
    """What whole numbers stand for by Arrow's own schema; empty: for themselves."""
    if pa.types.is_duration(own.type):
        return DURATION
    name = getattr(own.type, "extension_name", "") or (own.metadata or {}).get(b"ARROW:extension:name", b"").decode()
    return f"{EXTENSION} {name}" if name and name != "arrow.bool8" else ""


@contextmanager
def _opened(path: str, int96_unit: str | None = None) -> Iterator[pq.ParquetFile]:
    if path.startswith(listing.S3):
        store, key = listing.s3(path)
        source = store.open_input_file(key)
    else:
        source = pa.OSFile(path)
    with source, pq.ParquetFile(source, coerce_int96_timestamp_unit=int96_unit) as file:
        yield file


def _numbers(column: pa.Array) -> np.ndarray:
    """(n,) uint64: what is stored of timestamps; 0 where there is none."""
    whole: np.ndarray = column.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
    return whole.astype(np.uint64)
