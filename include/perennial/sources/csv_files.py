"""Reads CSV files as Arrow, record by record as Python's `csv` does: nothing is guessed while they are read.

Arrow parses (its grammar is that of `csv`, and a test compares them); Python's own reader is asked for what a person is
shown of the few records that cannot be read: their line and their text.
"""

from __future__ import annotations

import csv
import io
import sys
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.csv as arrow_csv

from perennial.errors import PerennialError
from perennial.sources import listing

#: How many bytes are parsed at once. A record must fit; one that does not is mostly a quote that is never closed.
_BLOCK = 16 * 2**20
#: The ending of a packed file -> Arrow's name of how it is packed.
_PACKED = {"gz": "gzip", "zst": "zstd", "bz2": "bz2"}
#: The name of the column that numbers the records of a file, from 1 on.
RECORD = "record"


@dataclass(frozen=True)
class Dialect:
    """How a CSV file is written.

    Attributes:
        delimiter: Between the values of a record.
        quote: Around a value that holds a delimiter or a line break; twice, it is a quote itself. Empty: nothing is.
        escape: Before a character that is meant literally; empty: nothing is.
        skip: Lines before the header.
        encoding: Python's name of it. `utf-8` may begin with a byte order mark.
    """

    delimiter: str = ","
    quote: str = '"'
    escape: str = ""
    skip: int = 0
    encoding: str = "utf-8"


class UnreadableFile(PerennialError):
    """A file that cannot be read as a whole: `problem` says why, and at which line where that is known."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem, "Correct the file, or how it is declared.")


@contextmanager
def opened(address: str) -> Iterator[pa.NativeFile]:
    """The bytes of a file on a disk or in S3, unpacked if its name ends with .gz, .zst or .bz2."""
    packed = _PACKED.get(address.lower().rpartition(".")[2])
    if address.startswith(listing.S3):
        store, path = listing.s3(address)
        stream = store.open_input_stream(path, compression=packed)
    else:
        stream = pa.input_stream(address, compression=packed)
    with stream:
        yield stream


@contextmanager
def text_of(address: str, encoding: str, errors: str = "strict") -> Iterator[io.TextIOWrapper]:
    """The text of a file, with the line breaks that it has.

    Args:
        address: The file.
        encoding: As in `Dialect`.
        errors: What follows from a byte that is none of the encoding's, as Python's codecs name it.
    """
    csv.field_size_limit(sys.maxsize)
    with opened(address) as stream:
        name = "utf-8-sig" if encoding == "utf-8" else encoding
        with io.TextIOWrapper(io.BufferedReader(_Raw(stream), 2**20), name, errors, newline="") as text:
            yield text


class _Raw(io.RawIOBase):
    """Arrow's file, as Python's buffers want one."""

    def __init__(self, stream: pa.NativeFile) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        read = self._stream.read(len(buffer))
        buffer[: len(read)] = read
        return len(read)


def records(text: Iterator[str], dialect: Dialect, *, strict: bool = False) -> Iterator[tuple[int, str, list[str]]]:
    """Line, text and values of every record; blank lines are none.

    Args:
        text: The lines of a file, from its beginning.
        dialect: How it is written; its first `skip` lines are passed over.
        strict: Raise where a quote is out of place, or never closed.

    Raises:
        csv.Error: a quote is out of place, if `strict`.
    """
    lines: list[str] = []

    def kept() -> Iterator[str]:
        for line in text:
            lines.append(line)
            yield line

    source = kept()
    for _ in range(dialect.skip):
        next(source, None)
    lines.clear()
    reader = csv.reader(
        source,
        delimiter=dialect.delimiter,
        quotechar=dialect.quote or None,
        quoting=csv.QUOTE_MINIMAL if dialect.quote else csv.QUOTE_NONE,
        escapechar=dialect.escape or None,
        strict=strict,
    )
    line = 1 + dialect.skip
    for values in reader:
        if values:
            yield line, "".join(lines).rstrip("\r\n"), values
        line = 1 + dialect.skip + reader.line_num
        lines.clear()


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
            one is out of place, so that it may have swallowed others. Known once all rows were read. The records of the
            last kind are among the rows.
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
                lines = _counted(text)
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
            self._find_swallowing()
        except pa.ArrowInvalid as error:
            if "Empty CSV file" not in str(error):
                raise UnreadableFile(self._reason(error)) from error
        except (UnicodeError, OSError) as error:
            raise UnreadableFile(self._reason(error)) from error

    def _parsed(self, names: list[str], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        own = [f"o{position}" for position in range(self._own)]
        wanted = [own[self.header.index(name)] for name in names if self.header.index(name) < self._own]

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
        if (is_ragged or "\n" in self._last or "\r" in self._last) and self.unclosed():
            self.ragged[self.total] = 0
            return batch if is_ragged or not batch.num_rows else batch.slice(0, batch.num_rows - 1)
        return batch

    def _find_swallowing(self) -> None:
        """Add the records to `ragged` that span several lines because a quote in them is out of place."""
        if not self.dialect.quote or self._line_breaks() <= self.total + self._lines:
            return
        strict = Dialect(self.dialect.delimiter, self.dialect.quote, self.dialect.escape)
        with text_of(self.address, self.dialect.encoding) as text:
            for number, (_, content, _) in enumerate(records(text, self.dialect)):
                if number and number not in self.ragged and ("\n" in content or "\r" in content):
                    try:
                        deque(records(iter(io.StringIO(content, newline="")), strict, strict=True), maxlen=0)
                    except csv.Error:
                        self.ragged[number] = -1

    def _line_breaks(self) -> int:
        """How many lines the file has, at least; those inside of quotes count as well."""
        feeds = returns = 0
        with opened(self.address) as stream:
            while chunk := stream.read(_BLOCK):
                feeds += chunk.count(b"\n")
                returns += chunk.count(b"\r")
        return max(feeds, returns)

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
            return f"line {self.unclosed() or self._lines + 1}: a quote opens there that is not closed"
        return f"it cannot be read to its end ({error})"

    def unclosed(self) -> int:
        """The line of the last record, if a quote opens in it that is never closed; else 0."""
        with text_of(self.address, self.dialect.encoding, "replace") as text:
            ((line, last, _),) = deque(records(text, self.dialect), maxlen=1) or [(0, "", [])]
        strict = Dialect(self.dialect.delimiter, self.dialect.quote, self.dialect.escape)
        try:
            list(records(iter(io.StringIO(last, newline="")), strict, strict=True))
        except csv.Error as error:
            return line if "end of data" in str(error) else 0
        return 0

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


class _counted(Iterator[str]):  # noqa: N801
    """Lines, and how many were taken."""

    def __init__(self, lines: Iterator[str]) -> None:
        self.count, self._lines = 0, lines

    def __next__(self) -> str:
        line = next(self._lines)
        self.count += 1
        return line


def undecodable(address: str, encoding: str) -> str:
    """Why a file is not of an encoding, with the line of the first byte that is not.

    Args:
        address: The file.
        encoding: As in `Dialect`.
    """
    line = 1
    try:
        with text_of(address, encoding) as text:
            for _ in text:
                line += 1
    except UnicodeError as error:
        # The buffer is ahead of the lines: those before the byte that it holds are counted as well.
        ahead = getattr(error, "object", b"")[: getattr(error, "start", 0)]
        line += ahead.count(b"\n") if isinstance(ahead, bytes) else 0
    return f"line {line}: it is not {encoding}"
