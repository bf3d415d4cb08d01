"""Columns as a source declares them: the type of each, how it is written in the data, and the SQL that reads it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from perennial._common.sql_quoting import quote_literal
from perennial.errors import PerennialError

#: Arrow's names; `timestamp` is in microseconds, UTC.
Type = Literal["string", "int64", "float64", "bool", "timestamp"]
Unit = Literal["seconds", "milliseconds", "microseconds"]
Thousands = Literal["", ".", ",", " ", "'"]
TRUE, FALSE = ("true", "yes", "t", "y"), ("false", "no", "f", "n")
#: Unit of moments that are numbers -> how many microseconds it is.
MICROSECONDS: dict[Unit, int] = {"seconds": 1_000_000, "milliseconds": 1_000, "microseconds": 1}
_SMALL = ("TINYINT", "SMALLINT", "INTEGER", "UTINYINT", "USMALLINT", "UINTEGER")
_WHOLE = (*_SMALL, "BIGINT", "HUGEINT", "UBIGINT", "UHUGEINT")
_SHORT_DECIMAL = "SHORT_DECIMAL"
#: Of Parquet: decimals of more digits than DuckDB knows, which it reads as doubles. Such values cannot be read.
LONG_DECIMAL = "DECIMAL256"
#: Of Parquet: whole numbers that are something else by Arrow's own schema, in a unit that only that names.
DURATION, EXTENSION = "DURATION", "EXTENSION"
_CLOCKS = ("", " %H:%M:%S", " %H:%M", " %I:%M:%S %p", " %I:%M %p")
#: Blanks of any width, those that do not break a line included.
BLANKS = " \t\u00a0\u2007\u2009\u202f"
#: What separates thousands -> how else it is typed. The last minus sign is a typographer's.
_SEPARATORS = {"": "", ".": r"\.", ",": ",", " ": r"[ \x{a0}\x{2007}\x{2009}\x{202f}]", "'": r"['\x{2019}]"}
_SIGN, _BLANK = r"[-+\x{2212}]", r"[ \x{a0}\x{202f}]"


@dataclass(frozen=True)
class Column:
    """A column of a table, and where and how its values are written in the data.

    Blanks around a value mean nothing, except in text. What is not written as declared is unreadable: its row goes to
    quarantine. Decimals beyond what 64 bits hold are rounded to the nearest `float64`; whole numbers never are.

    Attributes:
        type: One of `Type`.
        source: Its name in the data; empty: the same as in the table.
        format: Of timestamps written as text, as `strptime` takes it: `%d.%m.%Y`, with or without a time of day. Empty:
            ISO 8601. Times without a zone are UTC.
        unit: Of timestamps that are numbers: what they count since 1970. None: they are none. Decimals beyond the
            microsecond are rounded: programs print the noise of a `float64` there.
        decimal: What separates the decimals of a number.
        thousands: What may separate its thousands; empty: nothing. A blank is one of any width.
        prefix, suffix: What is written before and after each number, such as `$` or `%`, which are no part of it.
        parentheses: Whether a number in parentheses is negative.
        nulls: What also stands for "no value" in this column.
    """

    type: Type
    source: str = ""
    format: str = ""
    unit: Unit | None = None
    decimal: Literal[".", ","] = "."
    thousands: Thousands = ""
    prefix: str = ""
    suffix: str = ""
    parentheses: bool = False
    nulls: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.type not in get_args(Type):
            raise PerennialError(
                f"A source declares a column of type {self.type!r}.", f"Choose one of {', '.join(get_args(Type))}."
            )


#: Name in the table -> how it is read there. A type alone means a column of that name, written plainly.
Schema: TypeAlias = Mapping[str, Type | Column]


def columns(schema: Schema) -> dict[str, Column]:
    """Every column of a schema, with its name in the data."""
    declared = {name: Column(each) if isinstance(each, str) else each for name, each in schema.items()}
    return {name: Column(**{**vars(each), "source": each.source or name}) for name, each in declared.items()}


def reading(column: Column, kind: str) -> str:
    """The SQL that reads a value `{c}` as the column's type; null where it cannot be read so, and never another value.

    Args:
        column: The declaration.
        kind: DuckDB's type of the data; text (`VARCHAR`) is parsed.
    """
    base = _base(kind)
    value = _value(column, base)
    if not column.nulls:
        return value
    words = ", ".join(map(quote_literal, column.nulls))
    return f"CASE WHEN {_trimmed(base)} NOT IN ({words}) THEN {value} END"


def usual(column: Column, kind: str) -> str | None:
    """The SQL that reads a text `{c}` which is a number as programs write it, as `reading` does; null for another text.

    None: there is none, as the column is no such number.

    Args:
        column: The declaration.
        kind: DuckDB's type of the data.
    """
    if kind != "VARCHAR" or column.type not in ("int64", "float64") or column.nulls or not _is_plain(column):
        return None
    target = "BIGINT" if column.type == "int64" else "DOUBLE"
    return f"CASE WHEN {_USUAL[target]} THEN try_cast({{c}} AS {target}) END"


def missing(column: Column, kind: str, nulls: Sequence[str]) -> str:
    """The SQL condition that `{c}` holds no value.

    Args:
        column: The declaration.
        kind: DuckDB's type of the data.
        nulls: What stands for "no value" in all columns of text data.
    """
    base = _base(kind)
    conditions = ["{c} IS NULL"]
    if column.nulls:
        conditions.append(f"{_trimmed(base)} IN ({', '.join(map(quote_literal, column.nulls))})")
    if base == "VARCHAR" and column.type != "string":
        conditions.append(f"{_trimmed(base)} IN ({', '.join(map(quote_literal, {'', *nulls}))})")
    elif _is_float(base):
        conditions.append("isnan({c})")
    return " OR ".join(conditions)


def is_unsupported(kind: str) -> bool:
    """Whether no value of a type is ever read, as what DuckDB makes of it is another one."""
    return kind == LONG_DECIMAL or kind.split()[0] in (DURATION, EXTENSION)


def _base(kind: str) -> str:
    """A type without its parameters; decimals with at most 15 digits before the point are `SHORT_DECIMAL`."""
    base, _, parameters = kind.upper().partition("(")
    if base == "DECIMAL" and parameters:
        precision, scale = parameters.rstrip(")").split(",")
        return _SHORT_DECIMAL if int(precision) - int(scale) <= 15 else base
    return base


def _value(column: Column, base: str) -> str:
    match column.type:
        case "string":
            return _string(base)
        case "bool":
            return "{c}" if base == "BOOLEAN" else _BOOL.replace("{t}", _trimmed(base))
        case "int64":
            return _whole(base, column)
        case "float64":
            return _number(base, column)
        case _ if base == "DATE" or base.startswith("TIMESTAMP"):
            # Nanoseconds would be cut off; infinity is no moment, and Python knows none outside of these years.
            exact = " AND epoch_ns({c}) % 1000 = 0" if base.endswith("_NS") else ""
            known = "CAST({c} AS TIMESTAMPTZ) >= TIMESTAMPTZ '0001-01-01' AND CAST({c} AS TIMESTAMPTZ) < " + _END
            return f"CASE WHEN {known}{exact} THEN CAST({{c}} AS TIMESTAMPTZ) END"
        case _ if column.unit:
            return _since_1970(base, column.unit)
        case _ if column.format:
            text = "{c}" if base == "VARCHAR" else f"CAST({_whole(base, _PLAIN)} AS VARCHAR)"
            return _in_format(column.format, text)
        case _:
            return _ISO.replace("{t}", _trimmed(base)).replace("{s}", _text(base))


def _words(words: tuple[str, ...]) -> str:
    return ", ".join(map(quote_literal, words))


_PLAIN = Column("float64")
#: The condition that a text is a number as programs write it, of DuckDB's types.
_USUAL = {
    "BIGINT": "regexp_full_match({c}, '[-+]?(0|[1-9][0-9]{0,17})')",
    "DOUBLE": "regexp_full_match({c}, '[-+]?(0|[1-9][0-9]{0,14})([.][0-9]+)?')",
}
_END = "TIMESTAMPTZ '10000-01-01'"
_BOOL = f"CASE WHEN lower({{t}}) IN ({_words(TRUE)}) THEN true WHEN lower({{t}}) IN ({_words(FALSE)}) THEN false END"
#: Years have four digits, else 31/12/23 would be of the year 31; and none is before 1000: those stand for "never".
#: DuckDB takes more: years before Christ, offsets of days, parts of a microsecond, which it cuts off.
_ISO_PATTERN = (
    "[1-9][0-9]{3}([-/])[0-9]{1,2}[-/][0-9]{1,2}"
    "([T ][0-9]{1,2}:[0-9]{2}(:[0-9]{2}([.][0-9]{1,6}0*)?)?( ?(Z|UTC|[-+](0[0-9]|1[0-4])(:?[0-9]{2})?))?)?"
)
#: Blanks are seldom, and looking for them costs as much as the rest.
_ISO = (
    f"try_cast(CASE WHEN regexp_full_match({{s}}, '{_ISO_PATTERN}') THEN {{s}}"
    f" WHEN regexp_full_match({{t}}, '{_ISO_PATTERN}') THEN {{t}} END AS TIMESTAMPTZ)"
)


def _trimmed(base: str) -> str:
    return f"trim({_text(base)}, {quote_literal(BLANKS)})"


def _text(base: str) -> str:
    return "{c}" if base == "VARCHAR" else "CAST({c} AS VARCHAR)"


def _is_float(base: str) -> bool:
    return base in ("FLOAT", "DOUBLE")


def _string(base: str) -> str:
    if is_unsupported(base):
        return "CAST(NULL AS VARCHAR)"
    if base == "BLOB":
        # Text that its writer did not mark as such. DuckDB would write its bytes out.
        return "TRY(decode({c}))"
    if _is_float(base):
        # A file whose whole numbers have become floats, since one is missing, has the same names in it.
        whole = "{c} = trunc({c}) AND abs({c}) <= 9007199254740992"
        return f"CASE WHEN {whole} THEN CAST(CAST({{c}} AS BIGINT) AS VARCHAR) ELSE CAST({{c}} AS VARCHAR) END"
    return _text(base)


def _whole(base: str, column: Column) -> str:
    if base in _WHOLE:
        return "{c}" if base == "BIGINT" else "try_cast({c} AS BIGINT)"
    if _is_float(base) or base in ("DECIMAL", _SHORT_DECIMAL):
        return "CASE WHEN {c} = trunc({c}) THEN try_cast({c} AS BIGINT) END"
    return _printed(column, base, whole=True) if base == "VARCHAR" else "CAST(NULL AS BIGINT)"


def _number(base: str, column: Column) -> str:
    if _is_float(base):
        return "CASE WHEN isfinite({c}) THEN CAST({c} AS DOUBLE) END"
    if base in _SMALL or base == _SHORT_DECIMAL:
        return "CAST({c} AS DOUBLE)"
    if base in _WHOLE or base == "DECIMAL":
        return "CASE WHEN {c} BETWEEN -9007199254740992 AND 9007199254740992 THEN CAST({c} AS DOUBLE) END"
    return _printed(column, base, whole=False) if base == "VARCHAR" else "CAST(NULL AS DOUBLE)"


def _printed(column: Column, base: str, *, whole: bool) -> str:
    """Of text: only what is a number in print, as it is declared."""
    text = _trimmed(base)
    pattern, plain = quote_literal(_pattern(column, whole=whole)), _plain_number(column, text)
    matched = f"CASE WHEN regexp_full_match({text}, {pattern}) THEN {plain} END"
    if whole:
        kind, number = "BIGINT", f"try_cast(split_part({matched}, '.', 1) AS BIGINT)"
    else:
        double = f"try_cast({matched} AS DOUBLE)"
        # With 16 digits before the point, some are a number that 64 bits hold, others would become their neighbour.
        exact = f"try_cast(split_part({matched}, '.', 1) AS HUGEINT) = try_cast(trunc({double}) AS HUGEINT)"
        short = f"NOT regexp_matches({matched}, '^-?[0-9]{{16}}')"
        kind, number = "DOUBLE", f"CASE WHEN isfinite({double}) AND ({short} OR {exact}) THEN {double} END"
    if not _is_plain(column):
        return number
    return f"CASE WHEN {_USUAL[kind]} THEN try_cast({{c}} AS {kind}) ELSE {number} END"


def _is_plain(column: Column) -> bool:
    """Whether its numbers have nothing but digits, a sign and a decimal point."""
    affixes = column.thousands or column.prefix or column.suffix or column.parentheses
    return not affixes and column.decimal == "."


def _pattern(column: Column, *, whole: bool) -> str:
    """What a number looks like.

    Not what has leading zeros: those are codes. Nor a whole number with more digits than a `float64` keeps.
    """
    separator, decimal = _SEPARATORS[column.thousands], re.escape(column.decimal)
    digits = "0|[1-9][0-9]{0,18}" if whole else "0|[1-9][0-9]{0,15}"
    grouped = f"[1-9][0-9]{{0,2}}({separator}[0-9]{{3}}){{1,{6 if whole else 4}}}" if separator else digits
    if whole:
        # 3.0 is a whole number: files whose column has lost a value are written so.
        number = f"({digits}|{grouped})({decimal}0*)?"
    else:
        # Nobody writes an exponent after groups of thousands.
        plain = f"({digits})({decimal}[0-9]*)?([eE][-+]?[0-9]{{1,3}})?"
        number = f"({plain}|({grouped})({decimal}[0-9]*)?|{decimal}[0-9]+)"
    if not column.prefix and not column.suffix:
        pattern = f"{_SIGN}?{number}"
    else:
        prefix, suffix = re.escape(column.prefix.strip(BLANKS)), re.escape(column.suffix.strip(BLANKS))
        inner, number = f"{_BLANK}?{_SIGN}?{number}{_BLANK}?{suffix}", f"{prefix}{_BLANK}?{number}{_BLANK}?{suffix}"
        # -$5 and $-5.
        pattern = f"{_SIGN}?{number}|{prefix}{inner}"
    return pattern + (f"|[(]{number}[)]" if column.parentheses else "")


def _plain_number(column: Column, text: str) -> str:
    """The SQL of a number that fits the pattern, as DuckDB reads numbers."""
    if _is_plain(column):
        return f"replace({text}, '\u2212', '-')"
    plain = text
    for affix in filter(None, (column.prefix.strip(BLANKS), column.suffix.strip(BLANKS))):
        plain = f"replace({plain}, {quote_literal(affix)}, '')"
    kept = "0-9eE.+-" if column.decimal == "." else "0-9eE,+-"
    negative = r"^[(]|\x{2212}" if column.parentheses else r"\x{2212}"
    plain = f"regexp_replace(regexp_replace({plain}, '{negative}', '-'), '[^{kept}]', '', 'g')"
    return f"replace({plain}, ',', '.')" if column.decimal == "," else plain


def _in_format(form: str, text: str) -> str:
    if any(clock.strip() in form for clock in _CLOCKS if clock):
        forms = quote_literal(form)
    else:
        forms = "[" + ", ".join(quote_literal(form + clock) for clock in _CLOCKS) + "]"
    trimmed = f"trim({text}, {quote_literal(BLANKS)})"
    if re.fullmatch("(%[YymdHMS])+", form):
        # Files whose column has lost a value are written so: 20230102.0 is a day as well.
        text = f"regexp_replace({text}, '^([{BLANKS}]*[0-9]+)[.]0*([{BLANKS}]*)$', '\\1\\2')"
        trimmed = f"trim({text}, {quote_literal(BLANKS)})"
    moment = f"coalesce(try_strptime({text}, {forms}), try_strptime({trimmed}, {forms}))"
    if "%Y" in form:
        # A year of two digits is none of four: 12/31/23 would be of the year 23.
        never = "TIMESTAMP '1000-01-01'"
        moment = f"nullif(greatest({moment}, {never}), {never})"
    return f"CAST({moment} AS TIMESTAMPTZ)"


def _since_1970(base: str, unit: Unit) -> str:
    factor = MICROSECONDS[unit]
    # TRY: a number too large for any moment is none.
    moment = f"coalesce({_whole(base, _PLAIN)} * {factor}, CAST(round({_number(base, _PLAIN)} * {factor}) AS BIGINT))"
    return f"CAST(TRY(make_timestamp({moment})) AS TIMESTAMPTZ)"
