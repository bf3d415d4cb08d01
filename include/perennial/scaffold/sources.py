"""Prepares what the template of `source.py` needs: where the rows are, and how each column is read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from perennial.scaffold import places, texts
from perennial.scaffold.design import Design
from perennial.scaffold.places import Place
from perennial.scaffold.profiling import ProfiledColumn
from perennial.scaffold.texts import noqa
from perennial.sources.columns import Column
from perennial.sources.spans import Written

#: Where ruff does not like files to be; somebody's data may be there all the same.
_TEMPORARY = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108
_PLAIN = Column("string")
#: Up to here 64 bits of a `float64` hold every whole number.
_EXACT = 2**53


def context(design: Design) -> dict[str, Any]:
    """What `source.py` needs."""
    place = design.place
    bounds = {name: bound for name, bound in (("SINCE", design.since), ("UNTIL", design.until)) if bound}
    return {
        "place_arguments": _place_arguments(design),
        "schema_lines": [line for column in design.columns for line in _declaration(column, design)],
        "source_names": _imported(design),
        "is_web": bool(place.origin) and not place.dialect,
        "written": written(design.time, place),
        "bounds": bounds,
        "bound_arguments": "".join(f", {name.lower()}={name}" for name in bounds),
        "source_text": _source_text(place),
        "bounds_text": _bounds_text(design),
    }


def _imported(design: Design) -> str:
    """What it imports of `perennial.sources`."""
    has_columns = any(_arguments(column, design)[1:] for column in design.columns)
    names = ["Column"] if has_columns else []
    names += ["DatabaseTable" if design.place.dialect else "Files", "Schema"]
    return ", ".join(names if design.row_key else [*names, "with_row_id"])


def _place_arguments(design: Design) -> list[str]:
    """Of `Files` or `DatabaseTable`, a line each."""
    place, address = design.place, texts.python(design.place.named)
    address += "," + noqa(E501=len(address) + 5 > texts.WIDTH, S108=address[1:].startswith(_TEMPORARY))
    arguments = [f"{texts.python(design.name)},", address, f'variable="{design.name.upper()}_DATA",']
    if place.dialect:
        return [*arguments, f"written={texts.python(written(design.time, place))},"]
    if place.format == "parquet":
        return [*arguments, 'format="parquet",']
    # All of them: what a file is not written like is seen, and never guessed again.
    names = ("delimiter", "quote", "escape", "encoding", "skip")
    return arguments + [f"{name}={texts.python(getattr(place.dialect_of_csv, name))}," for name in names]


def _arguments(column: ProfiledColumn, design: Design) -> list[str]:
    """Of the `Column` that declares how a column is read; the first is its type."""
    reading = column.as_time() if column.name == design.time.name else column.reading
    assert reading is not None  # noqa: S101
    declared = _widened(column, reading.column, design)
    arguments = [texts.python(declared.type)]
    if column.source != column.name:
        arguments.append(texts.python(column.source))
    for name in ("format", "unit", "decimal", "thousands", "prefix", "suffix", "parentheses", "nulls"):
        value = getattr(declared, name)
        if name == "nulls" and column.name != design.time.name:
            value = (*column.nulls, *(places.INFINITE if column.infinite else ()))
        if value != getattr(_PLAIN, name):
            shown = texts.python_tuple(value) if isinstance(value, tuple) else texts.python(value)
            arguments.append(f"{name}={shown}")
    return arguments


def _widened(column: ProfiledColumn, declared: Column, design: Design) -> Column:
    """The declaration; of whole numbers that name nothing as `float64`, so that a later 3.5 fits in as well.

    The lake never makes a column of integers one of doubles.
    """
    names = {design.time.name, *design.row_key, *(key.name for key in design.keys)}
    if declared.type != "int64" or column.name in names or column.low is None:
        return declared
    return replace(declared, type="float64") if max(abs(column.low), abs(column.high)) <= _EXACT else declared


def _declaration(column: ProfiledColumn, design: Design) -> list[str]:
    """A column of the schema, as a formatter leaves it."""
    name, arguments = texts.python(column.name), _arguments(column, design)
    if len(arguments) == 1:
        return [f"    {name}: {arguments[0]},"]
    line, inner = f"    {name}: Column({', '.join(arguments)}),", f"        {', '.join(arguments)}"
    if len(line) <= texts.WIDTH:
        return [line]
    if len(inner) <= texts.WIDTH:
        return [f"    {name}: Column(", inner, "    ),"]
    each = [f"        {argument}," for argument in arguments]
    return [f"    {name}: Column(", *(one + noqa(E501=len(one) > texts.WIDTH) for one in each), "    ),"]


def written(time: ProfiledColumn, place: Place) -> Written:
    """How moments are written in a database's column of time; empty: in a way that is not ordered like time.

    Args:
        time: The column, as it was profiled.
        place: The table.
    """
    reading = time.as_time()
    if reading is None or (reading.written == "text" and not time.begins_with_day):
        return ""
    # Numbers in a column of text are compared as numbers by SQLite only.
    is_text = time.reading.physical == "VARCHAR" and time.is_number
    return "" if is_text and place.dialect != "sqlite" else reading.written


def _bounds_text(design: Design) -> str:
    sentences = []
    if design.since:
        sentences.append(f"Those before {design.since.isoformat(sep=' ')} are left out (--since).")
    if design.until:
        sentences.append(f"Those from {design.until.isoformat(sep=' ')} on are left out (--until).")
        sentences.append("For data that keeps arriving take `UNTIL` out.")
    return texts.paragraph(" ".join(sentences), "    ", "    ")


def _source_text(place: Place) -> str:
    if place.dialect:
        connection_id, _, table = place.origin.removeprefix("connection://").partition("/")
        return f"table `{texts.harmless(table)}` of Airflow's connection `{connection_id}`"
    kind = "CSV" if place.format == "csv" else "Parquet"
    if place.origin:
        return f"a {kind} file on the web"
    return f"{kind} {'files' if len(place.files) > 1 or Path(place.address).is_dir() else 'in one file'}"
