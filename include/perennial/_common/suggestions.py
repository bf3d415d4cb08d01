"""Suggests the closest known name for a mistyped one."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(word: str, choices: Iterable[object]) -> str:
    """A question that proposes the closest of `choices`, with a blank after it; empty if nothing is close.

    Args:
        word: What was typed.
        choices: The names that exist.
    """
    names = {str(name).lower(): str(name) for name in choices}
    close = get_close_matches(word.lower(), names, n=1)
    return f"Did you mean {names[close[0]]!r}? " if close else ""
