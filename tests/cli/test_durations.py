"""Lengths of time on the command line."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.cli.durations import duration, shown
from perennial.errors import InvalidParams


@given(st.integers(1, 9_999), st.sampled_from("hd"))
def test_what_is_shown_can_be_given_again(number: int, unit: str) -> None:
    length = duration(f"{number}{unit}", "--lead")
    assert duration(shown(length), "--lead") == length


def test_weeks_and_minutes() -> None:
    assert duration("2w", "--lead") == timedelta(days=14)
    assert shown(timedelta(minutes=90)) == "90m"


@pytest.mark.parametrize("text", ["", "h", "0h", "-1d", "1.5h", "10000d", "3", "1y", "٣h"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(InvalidParams, match=r"--lead .* is no length of time"):
        duration(text, "--lead")
