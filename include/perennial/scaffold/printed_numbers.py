"""Finds numbers that are printed for people: with a currency or percent sign, blanks between thousands, parentheses."""

from __future__ import annotations

import re
from collections import Counter
from typing import Literal

import duckdb

from perennial._common.sql_quoting import quote_ident
from perennial.scaffold.column_types import Reading
from perennial.sources.columns import Column, Thousands

#: What may be before or after a number: signs of currencies, percent, and codes and words that are no names of things.
_CODES = "USD|EUR|GBP|CHF|JPY|CNY|INR|SEK|NOK|DKK|PLN|CZK|HUF|AUD|CAD|NZD|BRL|MXN|ZAR|TRY|RUB|KRW|SGD|HKD"
_AFFIX = rf"(?:US\$|R\$|[$€£¥₹₽₩₺%‰]|{_CODES}|kr|zł|Kč|Ft|Fr\.)"
_BLANK = "[ \u00a0\u2007\u2009\u202f]"
_PRINTED = re.compile(
    rf"[-+\u2212(]*({_AFFIX})?{_BLANK}?[-+\u2212]?[0-9.,][0-9.,'’ \u00a0\u2007\u2009\u202f]*?{_BLANK}?({_AFFIX})?[)]?"
)
#: Decimal and thousands, the likelier first where several fit all values.
_MARKS: tuple[tuple[Literal[".", ","], Thousands], ...] = (
    (".", ""),
    (".", ","),
    (",", "."),
    (".", " "),
    (",", " "),
    (".", "'"),
    (",", "'"),
    (",", ""),
)


def candidates(connection: duckdb.DuckDBPyConnection, name: str) -> tuple[Reading, ...]:
    """The ways to read a column of text as printed numbers; none, if most of its values are no such numbers.

    Args:
        connection: DuckDB, with a sample of the data as table `tried`.
        name: The column.
    """
    column = quote_ident(name)
    rows = connection.execute(f"SELECT trim({column}) FROM tried WHERE {column} IS NOT NULL").fetchall()  # noqa: S608
    matches = [match for (value,) in rows if (match := _PRINTED.fullmatch(value.strip()))]
    if len(matches) <= len(rows) / 2:
        return ()
    prefix, suffix = Counter((match[1] or "", match[2] or "") for match in matches).most_common(1)[0][0]
    has_parentheses = any(match[0].startswith("(") for match in matches)
    declared = [
        Column(
            "float64", decimal=decimal, thousands=thousands, prefix=prefix, suffix=suffix, parentheses=has_parentheses
        )
        for (decimal, thousands) in _MARKS
    ]
    example = matches[0][0]
    return tuple(Reading("number", column, f"numbers like {example!r}") for column in declared)
