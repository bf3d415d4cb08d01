"""Chooses which columns of a row are features, and gives the reason for each column that is not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from perennial.scaffold import column_types, keys
from perennial.scaffold.design import Assumption
from perennial.scaffold.leakage import Suspect
from perennial.scaffold.profiling import Look, ProfiledColumn
from perennial.scaffold.times import Times

#: Text with more different values, or with values that hardly repeat, teaches a model names.
_MANY_WORDS = 1000


def choose(
    look: Look,
    measured: Times,
    special: set[str],
    row_key: Sequence[str],
    later: Sequence[ProfiledColumn],
    leaks: Sequence[Suspect],
    keep: set[str],
    drop: set[str],
    counting: Mapping[str, str],
) -> tuple[tuple[ProfiledColumn, ...], dict[str, str]]:
    """The columns that a model sees, and why the others are left out.

    Args:
        look: The profiled data.
        measured: The times of its rows.
        special: Names of the time, label and key columns.
        row_key: Names of the columns that identify a row.
        later: Columns that are known only with the label.
        leaks: Columns that may leak the label.
        keep: Names of columns that are features all the same.
        drop: Names of columns that are no features.
        counting: Name -> why, of columns that number the rows or only rise with time.
    """
    suspicion = {each.column.name: each.why for each in leaks}
    # What is told last here is what holds.
    against = {name: f"{why} (--keep to use it all the same)" for name, why in counting.items() if [name] != [*row_key]}
    against |= {name: f"may leak the label: {why} (--keep if it is known in time)" for name, why in suspicion.items()}
    against = {name: why for name, why in against.items() if name not in keep}
    for column in look.columns:
        if column.kind == "time":
            why = suspicion.get(column.name, "a length of time would be a feature, a moment is none")
            against[column.name] = f"holds moments; {why}"
    for column in later:
        no_past = f", and its past is no feature either: it holds {column.reading.description}"
        past = ": only its past is a feature" if column.has_mean else no_past
        against[column.name] = f"is known only later (--later){past}"
    against |= dict.fromkeys(drop, "was dropped (--drop)")
    features, left_out = [], dict(look.left_out)
    for column in look.columns:
        if column.name in special:
            continue
        reason = against.get(column.name)
        if reason is None and column.name not in keep:
            reason = _reason_by_values(column, measured, is_row_key=tuple(row_key) == (column.name,))
        if reason:
            left_out[column.source] = reason
        else:
            features.append(column)
    return tuple(features), left_out


def _reason_by_values(column: ProfiledColumn, measured: Times, *, is_row_key: bool) -> str | None:
    if is_row_key:
        return "tells rows apart"
    if column.distinct <= 1:
        return "has one value only"
    if column.kind == "text" and (column.distinct > _MANY_WORDS or column.distinct > measured.rows / 3):
        return f"has about {column.distinct} different texts (--keep to use them as categories)"
    if column.kind == "integer" and keys.is_named_like_id(column) and column.distinct > measured.rows / 3:
        return f"is named like an identifier and has about {column.distinct} different values (--keep to use it)"
    return None


def note_readings(look: Look, assume: list[Assumption]) -> None:
    """Record as assumptions where a column could also be read in another way.

    Args:
        look: The profiled data.
        assume: Collects what was assumed.
    """
    for column in look.columns:
        if column.infinite:
            what = f"{column.infinite:,} values of {column.source!r} are infinite, and read as missing"
            why = "nothing can be computed with them; without `nulls` in source.py, their rows go to quarantine"
            assume.append(Assumption("values", what, why))
        if column.unreadable:
            assume += _of_unreadable(column)
        elif column.reading in (column_types.COMMA, column_types.GROUPED):
            assume.append(_of_commas(column))
        elif _is_printed(column):
            assume.append(
                Assumption("values", f"{column.source!r} holds {column.reading.description}", _printed_so(column))
            )
        elif column.mixed:
            what = f"{column.source!r} is text"
            assume.append(
                Assumption("values", what, f"{column.mixed:.0%} of its values are numbers, the others are not")
            )


def _is_printed(column: ProfiledColumn) -> bool:
    declared = column.reading.column
    return bool(declared.prefix or declared.suffix or declared.parentheses or declared.thousands in (" ", "'"))


def _printed_so(column: ProfiledColumn) -> str:
    """How a column's printed numbers are read."""
    declared = column.reading.column
    said = [f"decimals follow {declared.decimal!r}"]
    said += [f"{declared.thousands!r} separates thousands"] if declared.thousands else []
    said += [f"{sign!r} is no part of the number" for sign in (declared.prefix, declared.suffix) if sign]
    said += ["those in parentheses are negative"] if declared.parentheses else []
    if column.either:
        written = "1,234" if "," in (declared.thousands, declared.decimal) else "1.234"
        read, other = ("1234", "1.234") if declared.thousands == "," else ("1.234", "1234")
        said += [f"{written!r} is {read}: if it is {other}, change source.py"]
    return ", ".join(said)


def _of_unreadable(column: ProfiledColumn) -> list[Assumption]:
    """What becomes of values that the others' reading makes nothing of."""
    why = f"the others are {column.reading.description}"
    if column.kind == "text":
        what = f"{column.unreadable} values of {column.source!r} are read as missing"
        return [Assumption("values", what, f"{why}, and {column.unreadable_example!r} is not")]
    noted = []
    if column.words:
        what = f"{column.words} values of {column.source!r} are read as missing"
        noted.append(Assumption("values", what, f"{why}, and {', '.join(map(repr, column.nulls))} stands for none"))
    if column.unreadable > column.words:
        what = f"{column.unreadable - column.words} values of {column.source!r} cannot be read"
        why += f", and {column.unreadable_example!r} is not; their rows will go to quarantine"
        noted.append(Assumption("values", what, why))
    return noted


def _of_commas(column: ProfiledColumn) -> Assumption:
    """How a column whose numbers have commas is read; both readings, where the data leaves it open."""
    is_decimal = column.reading is column_types.COMMA
    what = f"{column.source!r} has {'a decimal comma' if is_decimal else 'commas between thousands'}"
    why = "semicolons or tabs part the values, so commas do not" if is_decimal else "three digits follow each of them"
    if column.either:
        read, other = ("1.234", "1234") if is_decimal else ("1234", "1.234")
        what += f": '1,234' is {read}"
        why = f"each value has one comma, and three digits after it; if '1,234' is {other}, change source.py"
    return Assumption("values", what, why)
