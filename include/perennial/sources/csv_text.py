"""The text of CSV files: opened, unpacked, decoded, and split into records as Python's `csv` does."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pyarrow as pa

from perennial.errors import PerennialError
from perennial.sources import listing

#: The ending of a packed file -> Arrow's name of how it is packed.
_PACKED = {"gz": "gzip", "zst": "zstd", "bz2": "bz2"}


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


class CountedLines(Iterator[str]):
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
