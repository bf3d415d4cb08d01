r"""Python's regular expressions as RE2's, where both mean the same.

RE2, which DuckDB uses, has neither look-around nor back-references, and reads some of what it has otherwise: `$` does
not match before a last line break, `\d` only ASCII digits. Patterns of letters, sets, groups, alternatives, repetitions
and anchors are what suites are made of; others are left to Python.
"""

from __future__ import annotations

import re

#: Escapes that stand for themselves.
_LITERAL = frozenset(r"\.^$*+?{}[]()|-/")
#: RE2 repeats at most a thousand times.
_MOST = 1000
_REPETITION = re.compile(r"\{(\d*)(,?)(\d*)\}")


def as_re2(pattern: str) -> str | None:
    """The pattern for RE2 that finds what `re.search(pattern, ...)` finds; None where there may be none."""
    try:
        re.compile(pattern)
    except re.error:
        return None
    translated: list[str] = []
    place = 0
    in_set = False
    depth = 0
    while place < len(pattern):
        char = pattern[place]
        after = pattern[place + 1] if place + 1 < len(pattern) else ""
        if not (char.isascii() and char.isprintable()):
            return None
        if char == "\\":
            piece = _escape(after, in_set)
            if piece is None:
                return None
            translated.append(piece)
            place += 2
            continue
        if in_set:
            # A set in a set means something to one of them.
            if char == "[" or (char in "&|~-" and after == char):
                return None
            in_set = char != "]"
        elif char == "[":
            if after == "]" or pattern[place + 1 : place + 3] == "^]":
                return None
            in_set = True
        elif char == "(" and after == "?" and pattern[place + 2 : place + 3] != ":":
            return None
        elif char == "$":
            # It may match before a last line break, and nothing may follow that would read the break.
            if pattern[place + 1 :].strip(")") and not (after == "|" and depth == 0):
                return None
            translated.append(r"\n?\z")
            place += 1
            continue
        elif char == "{":
            found = _REPETITION.match(pattern, place)
            if not found or not found[1] or any(int(n) > _MOST for n in (found[1], found[3]) if n):
                return None
        elif char in "*+?}" and after == "+":  # Possessive in Python 3.11, an error in RE2.
            return None
        if not in_set:
            depth += (char == "(") - (char == ")")
        translated.append(char)
        place += 1
    return "".join(translated)


def _escape(char: str, in_set: bool) -> str | None:
    if char == "d":
        return r"\p{Nd}"
    if char in ("A", "Z") and not in_set:
        return r"\A" if char == "A" else r"\z"
    return f"\\{char}" if char in _LITERAL else None
