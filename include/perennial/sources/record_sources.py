"""The places that rows are read from, as DuckDB sees them: a CSV file, a query's result, and what each has to offer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import duckdb
import numpy as np
import pyarrow as pa

from perennial.errors import PerennialError
from perennial.sources.csv_files import RECORD, CsvFile


class RecordSource(Protocol):
    """Records of one file or table, each with its number.

    Attributes:
        is_repeatable: Whether it can be read again, and its records have an order.
    """

    is_repeatable: bool

    @property
    def kinds(self) -> dict[str, str]:
        """Column -> DuckDB's type of it."""
        ...

    @property
    def nulls(self) -> Sequence[str]:
        """What stands for "no value" in text."""
        ...

    def relation(self, connection: duckdb.DuckDBPyConnection, names: Sequence[str]) -> str:
        """The SQL of a relation with some columns, as `c0`, `c1` and so on, and `record`: their number, from 1 on."""
        ...

    def check(self) -> None:
        """Raise what stopped a relation before its end, as it was raised: DuckDB tells of an error as of its own."""
        ...

    @property
    def total(self) -> int:
        """How many records there are; known once a relation was read."""
        ...

    @property
    def ragged(self) -> Mapping[int, str]:
        """Record -> why it has no columns; such ones are in no relation. Known once one was read."""
        ...

    def shown(self, records: Sequence[int]) -> dict[int, tuple[int, str]]:
        """Record -> its line and text; empty: it has neither."""
        ...


@dataclass
class _Watched:
    """Arrow batches that count their rows and remember what stopped them."""

    rows: int = 0
    error: PerennialError | None = None

    def reader(self, schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> pa.RecordBatchReader:
        def watched() -> Iterator[pa.RecordBatch]:
            self.rows, self.error = 0, None
            try:
                for batch in batches:
                    self.rows += batch.num_rows
                    yield batch
            except PerennialError as error:
                self.error = error
                raise

        return pa.RecordBatchReader.from_batches(schema, watched())

    def check(self) -> None:
        if self.error is not None:
            raise self.error


@dataclass
class CsvRecords:
    """A CSV file."""

    file: CsvFile
    is_repeatable: bool = True
    _watched: _Watched = field(default_factory=_Watched)

    @property
    def kinds(self) -> dict[str, str]:
        """All are text."""
        return dict.fromkeys(self.file.header, "VARCHAR")

    @property
    def nulls(self) -> Sequence[str]:
        """Those of the file."""
        return self.file.nulls

    def relation(self, connection: duckdb.DuckDBPyConnection, names: Sequence[str]) -> str:
        """See `RecordSource`."""
        rows = self.file.rows(names)
        connection.register("arrived", self._watched.reader(rows.schema, iter(rows)))
        return "arrived"

    def check(self) -> None:
        """See `RecordSource`."""
        self._watched.check()

    @property
    def total(self) -> int:
        """See `RecordSource`."""
        return self.file.total

    @property
    def ragged(self) -> Mapping[int, str]:
        """See `RecordSource`."""
        own = len(self.file.header) - len([name for name in self.file.folders if name in self.file.header])
        why = {0: "a quote opens that is never closed", -1: "a quote in it is out of place"}
        return {
            record: why.get(count, f"it has {count} values, and the header {own}")
            for record, count in self.file.ragged.items()
        }

    def shown(self, records: Sequence[int]) -> dict[int, tuple[int, str]]:
        """See `RecordSource`."""
        return self.file.shown(records)


@dataclass
class ReaderRecords:
    """The rows that a reader of Arrow batches gives, once."""

    reader: pa.RecordBatchReader
    kinds: dict[str, str]
    nulls: Sequence[str] = ()
    is_repeatable: bool = False
    ragged: Mapping[int, str] = field(default_factory=dict)
    _watched: _Watched = field(default_factory=_Watched)

    def relation(self, connection: duckdb.DuckDBPyConnection, names: Sequence[str]) -> str:
        """See `RecordSource`."""
        fields = [pa.field(f"c{number}", self.reader.schema.field(name).type) for number, name in enumerate(names)]
        schema = pa.schema([*fields, (RECORD, pa.int64())])

        def batches() -> Iterator[pa.RecordBatch]:
            before = 0
            for batch in self.reader:
                numbers = pa.array(np.arange(before + 1, before + 1 + batch.num_rows))
                before += batch.num_rows
                columns = [*(batch.column(name) for name in names), numbers]
                yield pa.RecordBatch.from_arrays(columns, schema=schema)

        connection.register("arrived", self._watched.reader(schema, batches()))
        return "arrived"

    def check(self) -> None:
        """See `RecordSource`."""
        self._watched.check()

    @property
    def total(self) -> int:
        """See `RecordSource`."""
        return self._watched.rows

    def shown(self, records: Sequence[int]) -> dict[int, tuple[int, str]]:
        """It has no lines."""
        return {}


def one_line(error: Exception) -> str:
    """All that an error says, in one line: DuckDB names the cause and the place below the first."""
    return " ".join(str(error).split())[:600]
