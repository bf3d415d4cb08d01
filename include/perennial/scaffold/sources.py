"""Prepares what the template of `source.py` needs: where the rows are, and how each column is read."""

from __future__ import annotations

from typing import Any

from perennial.scaffold import texts
from perennial.scaffold.design import Design
from perennial.scaffold.places import Place
from perennial.scaffold.profiling import ProfiledColumn
from perennial.scaffold.texts import noqa
from perennial.sources import columns
from perennial.sources.spans import Written

#: Where ruff does not like files to be; somebody's data may be there all the same.
_TEMPORARY = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108
_PLAIN = columns.Column("string")


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
        return [*arguments, f"written={texts.python(written(design.time, place))},", 'unreadable="null",']
    arguments += ['format="parquet",'] if place.format == "parquet" else []
    for name, usual in (("delimiter", ","), ("quote", '"'), ("skip", 0)):
        value = getattr(place, name)
        arguments += [f"{name}={texts.python(value)},"] if place.format == "csv" and value != usual else []
    return [*arguments, 'unreadable="null",']


def _arguments(column: ProfiledColumn, design: Design) -> list[str]:
    """Of the `Column` that declares how a column is read; the first is its type."""
    reading = column.as_time() if column.name == design.time.name else column.reading
    assert reading is not None  # noqa: S101
    declared = reading.column
    arguments = [texts.python(declared.type)]
    if column.source != column.name:
        arguments.append(texts.python(column.source))
    for name in ("format", "unit", "decimal", "thousands"):
        value = getattr(declared, name)
        if value != getattr(_PLAIN, name):
            arguments.append(f"{name}={texts.python(value)}")
    return arguments


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
    return f"{kind} {'files' if '*' in place.address else 'in one file'}"
