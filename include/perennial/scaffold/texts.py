"""Formats values and paragraphs for a Python file, the way a code formatter would leave them."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

WIDTH = 120


def python(value: Any) -> str:
    """A value as Python source: strings in double quotes, lengths of time in their largest unit."""
    if isinstance(value, str):
        shown = repr(value)
        if shown.startswith("'") and '"' not in value:
            return '"' + shown[1:-1].replace("\\'", "'") + '"'
        return shown
    if isinstance(value, timedelta):
        for unit, seconds in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
            count, rest = divmod(value.total_seconds(), seconds)
            if count and not rest:
                return f"timedelta({unit}={count:.0f})"
        return f"timedelta(seconds={value.total_seconds():.0f})"
    return repr(value).replace("e+", "e") if isinstance(value, float) else repr(value)


def python_tuple(values: Iterable[str], column: int = 0, indent: int = 0) -> str:
    """Strings as a tuple: in one line if that fits, else one a line.

    Args:
        values: The strings.
        column: How many characters are before it in its line.
        indent: By how much that line is indented; the strings are four further in.
    """
    shown = [python(value) for value in values]
    line = f"({shown[0]},)" if len(shown) == 1 else f"({', '.join(shown)})"
    if column + len(line) + 1 <= WIDTH:
        return line
    inner = "".join(f"\n{' ' * (indent + 4)}{each}," for each in shown)
    return f"({inner}\n{' ' * indent})"


def paragraph(text: str, indent: str = "", hanging: str | None = None, width: int = WIDTH) -> str:
    """Text broken into lines.

    Args:
        text: The text; its blanks and line breaks are made single blanks.
        indent: What the first line begins with.
        hanging: What the others begin with; None: `indent`.
        width: The most characters of a line.
    """
    return textwrap.fill(
        " ".join(text.split()),
        width,
        initial_indent=indent,
        subsequent_indent=indent if hanging is None else hanging,
        break_long_words=False,
        break_on_hyphens=False,
    )


def harmless(text: str) -> str:
    """Text from the data, as it may stand in a docstring or on a page: no quotes that end it, no escapes, no lines."""
    plain = "".join(each if each.isprintable() else " " for each in text)
    return plain.replace("\\", "/").replace('"', "'").replace("`", "'")


def spoken(length: timedelta) -> str:
    """A length of time as people say it: `1 day`, `6 hours`."""
    for unit, seconds in (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1)):
        count, rest = divmod(length.total_seconds(), seconds)
        if count and not rest:
            return f"{count:.0f} {unit}{'s' if count > 1 else ''}"
    return str(length)


def noqa(**needed: bool) -> str:
    """The comment that lets a line be, for each rule that it has to break."""
    rules = ", ".join(rule for rule, is_needed in needed.items() if is_needed)
    return f"  # noqa: {rules}" if rules else ""
