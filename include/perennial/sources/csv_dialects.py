"""Finds out from all of a CSV file how it is written: encoding, delimiter, quotes, and lines before the header."""

from __future__ import annotations

import codecs
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice

from perennial.sources import csv_quotes
from perennial.sources.csv_files import CsvFile
from perennial.sources.csv_text import Dialect, UnreadableFile, opened, records, text_of, undecodable

_DELIMITERS, _QUOTES = (",", ";", "\t", "|"), ('"', "'")
#: Records of the beginning that suggest dialects; of those that fit it, all of the file decides.
_HEAD = 1_000
_CHUNK = 2**20
_MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def encoding_of(address: str, otherwise: str = "utf-8") -> str:
    """The encoding of a file: as its byte order mark says, else UTF-8 if all of it is, else `otherwise`.

    Args:
        address: The file.
        otherwise: Python's name of an encoding.

    Raises:
        UnreadableFile: it is none of these; the error names the line.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        with opened(address) as stream:
            chunk = stream.read(_CHUNK)
            for mark, name in _MARKS.items():
                if chunk.startswith(mark):
                    return name
            if unmarked := _utf16_without_mark(chunk):
                return unmarked
            while chunk:
                decoder.decode(chunk)
                chunk = stream.read(_CHUNK)
            decoder.decode(b"", final=True)
            return "utf-8"
    except UnicodeDecodeError as error:
        if otherwise == "utf-8":
            raise UnreadableFile(undecodable(address, "utf-8")) from error
    except OSError as error:
        raise UnreadableFile(f"it cannot be read to its end ({error})") from error
    try:
        with text_of(address, otherwise) as text:
            for _ in text:
                pass
    except UnicodeError as error:
        raise UnreadableFile(undecodable(address, otherwise)) from error
    return otherwise


def _utf16_without_mark(head: bytes) -> str:
    """Every other byte of western text in UTF-16 is zero."""
    pairs = max(1, len(head) // 2)
    even, odd = head[::2].count(0), head[1::2].count(0)
    if odd > 0.4 * pairs and not even:
        return "utf-16-le"
    return "utf-16-be" if even > 0.4 * pairs and not odd else ""


def detect(address: str, otherwise: str = "utf-8", *, only_beginning: bool = False) -> Dialect:
    """How a file is written.

    The delimiter and quote by which most records have as many values as the header, over all of the file.

    Args:
        address: The file.
        otherwise: Its encoding, if it is not UTF-8 and has no byte order mark.
        only_beginning: Look at its first lines only, for a first impression.

    Raises:
        UnreadableFile: it has no header, another number of names than of values, or is not of its encoding.
    """
    encoding = "utf-8" if only_beginning else encoding_of(address, otherwise)
    with text_of(address, encoding, "replace") as text:
        head = list(islice(text, 20 * _HEAD))
    fitting: list[tuple[float, int, Dialect]] = []
    reasons: list[UnreadableFile] = []
    for quote in _QUOTES:
        for delimiter in _DELIMITERS:
            dialect = Dialect(delimiter, quote, "", 0, encoding)
            try:
                found = _described(head, dialect)
            except UnreadableFile as error:
                reasons.append(error)
                continue
            if found is not None:
                fitting.append(found)
    if not fitting:
        if reasons:
            raise reasons[0]
        return _one_column(head, Dialect(encoding=encoding))
    fitting.sort(key=lambda each: (-round(each[0], 2), -each[1]))
    best = [each for each in fitting if each[0] >= fitting[0][0] - 0.02 and each[1] > 1]
    if only_beginning:
        return best[0][2] if best else fitting[0][2]
    if len(best) > 1:
        # The first of equal ones: fewer records that do not fit, a header taken for a title too, then more columns.
        best = sorted(best, key=lambda each: (_misfits(address, each[2]) + each[2].skip, -each[1]))
    return _with_escape(address, best[0][2])


def _one_column(head: Sequence[str], dialect: Dialect) -> Dialect:
    if not any(line.strip() for line in head):
        raise UnreadableFile("it has no header")
    return dialect


def _described(head: Sequence[str], dialect: Dialect) -> tuple[float, int, Dialect] | None:
    """The share of records that have as many values as most, how many those are, and the dialect with its `skip`.

    None: most records have one value only.
    """
    found = list(islice(records(iter(head), dialect), _HEAD))
    if not found:
        return None
    if _wrapped(found, "'" if dialect.quote == '"' else '"'):
        return None
    counts = Counter(len(values) for _, _, values in found)
    width, rows = counts.most_common(1)[0]
    if width < 2:
        return None
    first = next(number for number, (_, _, values) in enumerate(found) if _is_header(values, width))
    before = found[:first]
    line, _, last = before[-1] if before else (0, "", [])
    is_comment = bool(last) and last[0].startswith("#")
    if before and not is_comment and len([value for value in last if value.strip()]) > 1:
        raise UnreadableFile(
            f"line {line} has {len(last)} values and looks like the header, but most lines have {width}"
        )
    return rows / len(found), width, replace(dialect, skip=found[first][0] - 1)


def _is_header(values: Sequence[str], width: int) -> bool:
    """Whether a record may be the header: a title above it has one cell that is filled."""
    return len(values) == width and (width == 1 or sum(bool(value.strip()) for value in values) > 1)


def is_quoted_otherwise(address: str, dialect: Dialect) -> bool:
    """Whether values at a file's beginning are between the other sign for quotes, as `_wrapped` says.

    Args:
        address: The file.
        dialect: How it is declared.
    """
    with text_of(address, dialect.encoding, "replace") as text:
        found = list(islice(records(text, dialect), _HEAD))
    return bool(found) and _wrapped(found, "'" if dialect.quote == '"' else '"')


def _wrapped(found: Sequence[tuple[int, str, list[str]]], other: str) -> bool:
    """Whether values are between the other sign for quotes, so that it is the one.

    Double quotes around a value are no part of it; of single ones that is so where a column has no other values.
    """
    width = len(found[0][2])
    rows = [values for _, _, values in found[1:] if len(values) == width]
    for column in zip(*rows, strict=True):
        filled = [value for value in column if value]
        wrapped = (len(value) > 1 and value[0] == value[-1] == other for value in filled)
        if any(wrapped) if other == '"' else len(filled) > 1 and all(wrapped):
            return True
    return False


def _misfits(address: str, dialect: Dialect) -> int:
    """How many records of the whole file have another number of values than the header."""
    try:
        file = CsvFile(address, dialect, ())
        for _ in file.rows([]):
            pass
    except UnreadableFile:
        return 2**62
    return len(file.ragged)


def _with_escape(address: str, dialect: Dialect) -> Dialect:
    """The dialect; with the backslash, where that puts quotes in place that are not, and changes nothing else."""
    if not csv_quotes.has_escapes(address, dialect) or csv_quotes.are_in_place(address, dialect):
        return dialect
    escaped = replace(dialect, escape="\\")
    return escaped if _misfits(address, escaped) < _misfits(address, dialect) else dialect
