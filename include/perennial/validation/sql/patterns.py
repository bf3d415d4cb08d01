r"""Translates Python's regular expressions to RE2's, where both mean the same.

RE2, which DuckDB uses, has neither look-around nor back-references, and reads some of what it has otherwise: `$` does
not match before a last line break, `\d` only ASCII digits. Patterns of letters, sets, groups, alternatives, repetitions
and anchors are what suites are made of; others are left to Python.
"""

from __future__ import annotations

import re

#: Characters whose escape stands for themselves.
_LITERAL = frozenset(r"\.^$*+?{}[]()|-/")
#: RE2 repeats at most a thousand times.
_MOST_REPETITIONS = 1000
_REPETITION = re.compile(r"\{(\d+)(,?)(\d*)\}")
#: An escape, a set, or a character.
_PIECE = re.compile(r"\\.|\[(?:\\.|[^\]\\])*\]|.")
_ESCAPE = re.compile(r"\\(.)")
#: What in a set means something to one of the two, or may in future.
_SET_OPERATION = re.compile(r"\[|([&|~-])\1")


def as_re2(pattern: str) -> str | None:
    """The pattern for RE2 that matches where `re.search(pattern, ...)` matches; None where there may be none."""
    if not (pattern.isascii() and pattern.isprintable() and _is_valid(pattern)):
        return None
    pieces: list[str] = []
    depth = 0
    for piece in _PIECE.finditer(pattern):
        translated = _translated(piece[0], pattern[piece.end() :], depth)
        if translated is None:
            return None
        pieces.append(translated)
        depth += (piece[0] == "(") - (piece[0] == ")")
    return "".join(pieces)


def _is_valid(pattern: str) -> bool:
    try:
        re.compile(pattern)
    except re.error:
        return False
    return True


def _translated(piece: str, rest: str, depth: int) -> str | None:
    """A piece for RE2, by what follows it and in how many groups it is."""
    if piece.startswith("\\"):
        return _escape(piece[1], in_set=False)
    if len(piece) > 1:
        return _set(piece[1:-1])
    if piece == "$":
        # It may match before a last line break, and nothing may follow that would read the break.
        is_last = not rest.strip(")") or (rest.startswith("|") and depth == 0)
        return r"\n?\z" if is_last else None
    return None if _differs(piece, rest) else piece


def _differs(char: str, rest: str) -> bool:
    """Whether a character begins something that RE2 does not have."""
    if char == "(":
        return rest.startswith("?") and not rest.startswith("?:")
    if char == "{":
        repetition = _REPETITION.match(char + rest)
        return not repetition or any(int(n) > _MOST_REPETITIONS for n in (repetition[1], repetition[3]) if n)
    return char in "*+?}" and rest.startswith("+")  # Possessive in Python 3.11, an error in RE2.


def _set(content: str) -> str | None:
    if content in ("", "^") or _SET_OPERATION.search(_ESCAPE.sub(" ", content)):
        return None
    escapes = {char: _escape(char, in_set=True) for char in _ESCAPE.findall(content)}
    if None in escapes.values():
        return None
    return f"[{_ESCAPE.sub(lambda escape: escapes[escape[1]] or '', content)}]"


def _escape(char: str, *, in_set: bool) -> str | None:
    if char == "d":
        return r"\p{Nd}"
    if char in ("A", "Z") and not in_set:
        return r"\A" if char == "A" else r"\z"
    return f"\\{char}" if char in _LITERAL else None
