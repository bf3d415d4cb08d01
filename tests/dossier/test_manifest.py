"""The one form in which a dossier writes values."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial.dossier import manifest

MOMENT = datetime(2024, 1, 1, 2, tzinfo=timezone(timedelta(hours=2)))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (MOMENT, "2024-01-01T00:00:00+00:00"),
        (MOMENT.astimezone(UTC).date(), "2024-01-01"),
        (timedelta(minutes=1), 60.0),
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
        ({"b": (1, None), "a": {"y", "x"}}, {"a": ["x", "y"], "b": [1, None]}),
        ("\ud800", "?"),
        (True, True),
    ],
    ids=["moment", "date", "duration", "nan", "infinity", "set in a dict", "lone surrogate", "boolean"],
)
def test_a_value_is_written_in_one_form(value: object, expected: object) -> None:
    assert json.loads(manifest.as_bytes(value)) == expected


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=25)
@given(values)
def test_what_was_read_back_is_written_alike(value: object) -> None:
    written = manifest.as_bytes(value)
    assert manifest.as_bytes(json.loads(written)) == written
