"""Reads CSV files as Arrow, record by record as Python's `csv` does: nothing is guessed while they are read.

Arrow parses (its grammar is that of `csv`, and a test compares them); Python's own reader is asked for what a person is
shown of the few records that cannot be read: their line and their text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.csv as arrow_csv

from perennial.sources import csv_quotes
from perennial.sources.csv_text import CountedLines, Dialect, UnreadableFile, opened, records, text_of, undecodable

#: How many bytes are parsed at once. A record must fit; one that does not is mostly a quote that is never closed.
_BLOCK = 16 * 2**20
#: The name of the column that numbers the records of a file, from 1 on.
RECORD = "record"


def unique(names: Sequence[str]) -> list[str]:
    """The names of a header, so that each is there once: a second `a` (or `A`) is `a_1`, and one without `column0`."""
    seen: set[str] = set()
    result = []
    for position, name in enumerate(names):
        plain = name or f"column{position}"
        found, number = plain, 0
        while found.lower() in seen:
            number += 1
            found = f"{plain}_{number}"
        seen.add(found.lower())
        result.append(found)
    return result


@dataclass
class CsvFile:
    """A CSV file, whose records are read as text.

    Attributes:
        address: Where it is.
        dialect: How it is written.
        nulls: What stands for "no value".
        folders: Columns that its folders' names give.
        header: Its columns' names, as `unique` makes them, those of its folders after them.
        ragged: Record -> how many values it has, if not as many as the header; 0: a quote in it is never closed; -1:
            one is out of place, so that its values are none, or it has swallowed other records. Known once all rows
            were read. The records of the last kind are among the rows.
        total: How many records there are; known once all rows were read.
        renamed: Name in `header` -> the one in the file, which another column has too, or which is empty.
    """

    address: str
    dialect: Dialect
    nulls: Sequence[str]
    folders: Mapping[str, str | None] = field(default_factory=dict)
    header: list[str] = field(default_factory=list)
    ragged: dict[int, int] = field(default_factory=dict)
    total: int = 0
    renamed: dict[str, str] = field(default_factory=dict)
    _lines: int = 0
    _own: int = 0
    _last: str = ""

    def __post_init__(self) -> None:
        try:
            with text_of(self.address, self.dialect.encoding) as text:
                lines = CountedLines(text)
                found = next(records(lines, self.dialect), None)
                self._lines = lines.count
        except UnicodeError as error:
            raise UnreadableFile(undecodable(self.address, self.dialect.encoding)) from error
        except OSError as error:
            raise UnreadableFile(f"it cannot be read to its end ({error})") from error
        if found is None:
            raise UnreadableFile("it has no header")
        self._own = len(found[2])
        self.header = unique(found[2])
        self.renamed = {new: old for new, old in zip(self.header, found[2], strict=True) if new != old}
        self.header += [name for name in self.folders if name not in self.header]

    def rows(self, names: Sequence[str]) -> pa.RecordBatchReader:
        """Some columns of all records with as many values as the header, as text, and their number: `RECORD`.

        Args:
            names: Columns of `header`; the result has them as `c0`, `c1` and so on.

        Raises:
            UnreadableFile: raised by whoever reads the batches: it is damaged, or not of its encoding.
        """
        schema = pa.schema([*((f"c{number}", pa.string()) for number in range(len(names))), (RECORD, pa.int64())])
        return pa.RecordBatchReader.from_batches(schema, self._batches(list(names), schema))

    def _batches(self, names: list[str], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        self.ragged, self.total, last = {}, 0, None
        try:
            for batch in self._parsed(names, schema):
                if last is not None:
                    yield last
                last = batch
            if last is not None:
                yield self._without_unclosed(last)
            for record in csv_quotes.misplaced(self.address, self.dialect):
                self.ragged.setdefault(record, -1)
        except pa.ArrowInvalid as error:
            if "Empty CSV file" not in str(error):
                raise UnreadableFile(self._reason(error)) from error
        except (UnicodeError, OSError) as error:
            raise UnreadableFile(self._reason(error)) from error

    def _parsed(self, names: list[str], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        own = [f"o{position}" for position in range(self._own)]
        positions = {name: position for position, name in enumerate(self.header[: self._own])}
        wanted = [own[positions[name]] for name in names if name in positions]

        def note(row: arrow_csv.InvalidRow) -> str:
            # Arrow counts the lines before the first record as well.
            self.ragged[row.number - self._lines] = row.actual_columns
            return "skip"

        read = arrow_csv.ReadOptions(
            use_threads=False,  # Else records have no number.
            block_size=_BLOCK,
            column_names=own,
            skip_rows=self._lines,
            encoding="utf8" if self.dialect.encoding == "utf-8" else self.dialect.encoding,
        )
        parse = arrow_csv.ParseOptions(
            delimiter=self.dialect.delimiter,
            quote_char=self.dialect.quote or False,
            escape_char=self.dialect.escape or False,
            newlines_in_values=True,
            invalid_row_handler=note,
        )
        convert = arrow_csv.ConvertOptions(
            column_types=dict.fromkeys(own, pa.string()),
            # A quote that is never closed ends in the last one.
            include_columns=list(dict.fromkeys([*wanted, own[-1]])),
            null_values=list(self.nulls),
            strings_can_be_null=True,
        )
        following = 1
        with opened(self.address) as stream, arrow_csv.open_csv(stream, read, parse, convert) as reader:
            for batch in reader:
                later = np.array([number for number in self.ragged if number >= following], np.int64)
                numbers = np.arange(following, following + batch.num_rows + len(later))
                numbers = numbers[~np.isin(numbers, later)][: batch.num_rows]
                following = int(numbers[-1]) + 1 if batch.num_rows else following
                self.total = following - 1
                self._last = str(batch.column(own[-1])[-1]) if batch.num_rows else ""
                columns = [self._column(batch, name) for name in names]
                yield pa.RecordBatch.from_arrays([*columns, pa.array(numbers)], schema=schema)
        self.total = max(self.total, *self.ragged, 0)

    def _without_unclosed(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The last rows of the file, without one in which a quote opens that is never closed."""
        is_ragged = self.total in self.ragged
        if (is_ragged or "\n" in self._last or "\r" in self._last) and csv_quotes.unclosed(self.address, self.dialect):
            self.ragged[self.total] = 0
            return batch if is_ragged or not batch.num_rows else batch.slice(0, batch.num_rows - 1)
        return batch

    def _column(self, batch: pa.RecordBatch, name: str) -> pa.Array:
        position = self.header.index(name)
        if position < self._own:
            return batch.column(f"o{position}")
        value = self.folders[name]
        return pa.repeat(pa.scalar(None if value in self.nulls else value, pa.string()), batch.num_rows)

    def _reason(self, error: Exception) -> str:
        if isinstance(error, UnicodeError) or "UTF8" in str(error) or "UTF-8" in str(error):
            return undecodable(self.address, self.dialect.encoding)
        if "straddling" in str(error):
            line = csv_quotes.unclosed(self.address, self.dialect) or self._lines + 1
            return f"line {line}: a quote opens there that is not closed"
        return f"it cannot be read to its end ({error})"

    def shown(self, wanted: Sequence[int]) -> dict[int, tuple[int, str]]:
        """Record -> its first line in the file, and its text.

        Args:
            wanted: Numbers of records.
        """
        missing, found = set(wanted), {}
        if missing:
            with text_of(self.address, self.dialect.encoding, "backslashreplace") as text:
                # The header is a record of its own here.
                for number, (line, content, _) in enumerate(records(text, self.dialect)):
                    if number in missing:
                        found[number] = (line, content)
                        missing.discard(number)
                        if not missing:
                            break
        return found
