"""What `source.py` of a new use case says: its SQL, and how each value is read."""

from __future__ import annotations

from typing import Any

from perennial._common.sql_quoting import quote_ident
from perennial.scaffold import texts
from perennial.scaffold.column_types import Reading
from perennial.scaffold.design import Design
from perennial.scaffold.places import Place
from perennial.scaffold.profiling import Column
from perennial.scaffold.texts import noqa

#: Where ruff does not like files to be; somebody's data may be there all the same.
_TEMPORARY = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108


def context(design: Design) -> dict[str, Any]:
    """What `source.py` needs."""
    macros: dict[str, Reading] = {}
    lines = []
    for column in design.columns:
        reading = column.as_time() if column.name == design.time.name else column.reading
        assert reading is not None  # noqa: S101
        called = _macro(reading, column, macros)
        sql = f"{called}({quote_ident(column.source)})" if called else reading.of(column.source)
        is_same = sql == quote_ident(column.source) and column.source == column.name
        # Quoted, whatever it is: some names are words of SQL.
        lines.append(sql if is_same else f"{sql} AS {quote_ident(column.name)}")
    moment, separator = quote_ident(design.time.name), ",\n        "
    place = design.place
    reader = "arrived" if place.dialect else texts.sql_lines(place.reader, "        ")
    inner = f"    SELECT\n        {separator.join(lines)}\n    FROM {reader}"
    where = "\n    AND ".join([f"WHERE {moment} >= $start AND {moment} < $end", *_bounds(design)])
    row_id = "" if design.row_key else f", {_row_id(design)}"
    query = texts.in_quotes(f"SELECT *{row_id}\nFROM (\n{inner}\n) AS each_row\n{where}")
    defined = "\n".join(
        f"CREATE TEMP MACRO {called}(x) AS\n    {texts.sql_lines(reading.sql.replace('{c}', 'x'), '    ')};"
        for called, reading in macros.items()
    )
    address = texts.python(place.named)
    return {
        "macros": texts.in_quotes(defined),
        "query": query,
        "query_noqa": noqa(E501=any(len(line) > texts.WIDTH for line in query.splitlines())),
        "data_noqa": noqa(E501=len(address) + 7 > texts.WIDTH, S108=address[1:].startswith(_TEMPORARY)),
        "is_s3": place.named.startswith("s3://"),
        "is_web": bool(place.origin) and not place.dialect,
        "written": written(design.time, place),
        "renamed": any(column.source != column.name for column in design.columns),
        "column_lines": [_column_line(column, design) for column in design.columns],
        "source_told": _told(place),
        "bounds_told": _bounds_told(design),
    }


def _bounds(design: Design) -> list[str]:
    """Conditions on the rows of the whole use case, which may begin or end within a partition."""
    moment = quote_ident(design.time.name)
    since = [f"{moment} >= TIMESTAMPTZ '{design.since.isoformat()}'"] if design.since else []
    return since + ([f"{moment} < TIMESTAMPTZ '{design.until.isoformat()}'"] if design.until else [])


def _bounds_told(design: Design) -> str:
    told = []
    if design.since:
        told.append(f"Those before {design.since.isoformat(sep=' ')} are left out (--since).")
    if design.until:
        told.append(f"Those from {design.until.isoformat(sep=' ')} on are left out (--until).")
        told.append("For data that keeps arriving take that bound out of `ROWS`.")
    return texts.paragraph(" ".join(told), "    ", "    ")


def _row_id(design: Design) -> str:
    """A digest of what is known of a row at its moment, and a number.

    What is learnt later changes once more, and the row is still that one. Rows that were alike at their moment are told
    apart by their number: they get the same prediction, so which is which means nothing then; later, what was learnt
    orders them, not how they lie.
    """
    later = ", ".join(map(quote_ident, design.learnt_later))
    known = f"CAST(row(*COLUMNS(* EXCLUDE ({later}))) AS VARCHAR)"
    return f"md5({known}) || '-' || row_number() OVER (\n    PARTITION BY {known}\n    ORDER BY {later}\n) AS row_id"


def written(time: Column, place: Place) -> str:
    """How a database is asked for the moments of a partition; empty: it cannot tell, and everything is read."""
    reading = time.as_time()
    if reading is None or (reading.written == "text" and not time.begins_with_day):
        return ""
    # Numbers in a column of text are compared as numbers by SQLite only.
    is_text = time.reading.macro != "" and time.is_number
    return "" if is_text and place.dialect != "sqlite" else reading.written


def _told(place: Place) -> str:
    if place.dialect:
        connection_id, _, table = place.origin.removeprefix("connection://").partition("/")
        return f"table `{texts.harmless(table)}` of Airflow's connection `{connection_id}`"
    kind = "CSV" if place.format == "csv" else "Parquet"
    if place.origin:
        return f"a {kind} file on the web"
    return f"{kind} {'files' if '*' in place.address else 'in one file'}"


def _macro(reading: Reading, column: Column, macros: dict[str, Reading]) -> str:
    """The name under which a reading stands in `macros`; empty for one that is short enough to stand in the query."""
    if len(reading.sql) < 30 and not reading.macro:
        return ""
    for called, known in macros.items():
        if known.sql == reading.sql:
            return called
    wanted = reading.macro or (f"moment_of_{column.name}" if reading.kind == "time" else "finite")
    macros[wanted] = reading
    return wanted


def _column_line(column: Column, design: Design) -> str:
    named = f" (`{texts.harmless(column.source)[:60]}`)" if column.source != column.name else ""
    reading = column.as_time() if column.name == design.time.name else column.reading
    told = "time, us UTC" if reading is not None and reading.kind == "time" else column.reading.told
    return texts.paragraph(f"- {column.name}{named}: {told}", "    ", "      ")
