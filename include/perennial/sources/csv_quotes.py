"""Finds the records of a CSV file whose quotes are out of place: their values may be other ones than those written."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import deque
from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from perennial.sources.csv_text import Dialect, opened, records, text_of

_CHUNK = 16 * 2**20
#: Encodings in which the bytes of a quote, a delimiter and a line break are nothing else.
_ONE_BYTE = re.compile("utf-8|ascii|latin-1|cp125[0-9]|iso8859.*")


def misplaced(address: str, dialect: Dialect) -> list[int]:
    """The records in which a value goes on after its closing quote, or a quote is never closed; 1 is the first.

    Blanks after a closing quote mean nothing, and quotes inside of a value without quotes are part of it.

    Args:
        address: The file.
        dialect: How it is written.
    """
    if not dialect.quote or are_in_place(address, dialect):
        return []
    with text_of(address, dialect.encoding) as text:
        # The header is a record of its own here.
        return [
            number
            for number, (_, content, _) in enumerate(records(text, dialect))
            if number and dialect.quote in content and _fault(content, dialect)
        ]


def are_in_place(address: str, dialect: Dialect) -> bool:
    """Whether all quotes of a file are in place, blanks after closing ones not allowed.

    Args:
        address: The file.
        dialect: How it is written.
    """
    if _are_in_pairs(address, dialect):
        return True
    try:
        with text_of(address, dialect.encoding) as text:
            deque(records(text, dialect, strict=True), maxlen=0)
    except csv.Error:
        return False
    return True


def has_escapes(address: str, dialect: Dialect) -> bool:
    r"""Whether quotes of a file follow a backslash, and all of its backslashes are before what may need one.

    Where others are not, as in `C:\temp`, a backslash is not there to be left out.

    Args:
        address: The file.
        dialect: How it is written.
    """
    if not dialect.quote:
        return False
    escapable = f"{dialect.quote}{re.escape(dialect.delimiter)}\r\n"
    literal = re.compile(rf"(?<!\\)(?:\\\\)*\\(?![\\{escapable}])")
    has_any = False
    with text_of(address, dialect.encoding) as text:
        for line in text:
            if "\\" in line:
                if literal.search(line):
                    return False
                has_any = has_any or f"\\{dialect.quote}" in line
    return has_any


def unclosed(address: str, dialect: Dialect) -> int:
    """The line of the last record, if a quote opens in it that is never closed; else 0.

    Args:
        address: The file.
        dialect: How it is written.
    """
    with text_of(address, dialect.encoding, "replace") as text:
        ((line, last, _),) = deque(records(text, dialect), maxlen=1) or [(0, "", [])]
    return line if "end of data" in _fault(last, dialect) else 0


def _fault(content: str, dialect: Dialect) -> str:
    """What Python's `csv` says against the quotes of one record; empty: nothing."""
    strict = Dialect(dialect.delimiter, dialect.quote, dialect.escape)
    quote = re.escape(dialect.quote)
    trimmed = re.sub(f"{quote}[ \t]+(?={re.escape(dialect.delimiter)}|[\r\n]|$)", dialect.quote, content)
    fault = ""
    for each in dict.fromkeys((content, trimmed)):
        try:
            deque(records(iter(io.StringIO(each, newline="")), strict, strict=True), maxlen=0)
        except csv.Error as error:
            fault = fault or str(error)
        else:
            return ""
    return fault


def _are_in_pairs(address: str, dialect: Dialect) -> bool:
    """Whether the bytes alone prove that all quotes are in place: so it is with most files, at the speed of the disk.

    Counted from the beginning, each first quote of a pair opens a value, which nothing but a delimiter, a line break or
    another quote precedes, and each second one closes it, which nothing else follows.
    """
    if dialect.skip or dialect.escape or not _ONE_BYTE.fullmatch(dialect.encoding):
        return False
    quote = ord(dialect.quote)
    around = np.zeros(256, bool)
    around[[quote, ord(dialect.delimiter), *b"\r\n"]] = True
    before, count = b"\n", 0
    with opened(address) as stream:
        for chunk in _chunks(stream, dialect):
            # The last byte is looked at with the one that follows it.
            data = np.frombuffer(before + chunk, np.uint8)
            places = np.flatnonzero(data[1:-1] == quote) + 1
            opening, closing = places[count % 2 :: 2], places[1 - count % 2 :: 2]
            if not (around[data[opening - 1]].all() and around[data[closing + 1]].all()):
                return False
            count += len(places)
            before = data[-2:].tobytes()
    return count % 2 == 0


def _chunks(stream: pa.NativeFile, dialect: Dialect) -> Iterator[bytes]:
    """The bytes of a file without a byte order mark, and a line break after them."""
    chunk = stream.read(_CHUNK)
    yield chunk.removeprefix(codecs.BOM_UTF8) if dialect.encoding == "utf-8" else chunk
    while chunk := stream.read(_CHUNK):
        yield chunk
    yield b"\n"
