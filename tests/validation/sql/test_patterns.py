"""Patterns translated to RE2 match what Python's match."""

from __future__ import annotations

import re

import duckdb
from examples import examples
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from perennial.validation.sql.patterns import as_re2


@settings(max_examples=examples(400), deadline=None)
@given(
    st.lists(st.sampled_from([*r"ab1.$^|()[]*+?-\d{2}", "\\d", "(?:", "[a-b]", "[^a]", r"\.", "\\Z"]), max_size=7),
    st.lists(st.sampled_from([*"ab1.-$\n", "٣"]), max_size=5),
)
def test_a_translated_pattern_matches_where_python_does(pieces: list[str], letters: list[str]) -> None:
    pattern, searched = "".join(pieces), "".join(letters)
    translated = as_re2(pattern)
    assume(translated is not None)
    try:
        matches = duckdb.execute("SELECT regexp_matches(?, ?)", [searched, translated]).fetchall()[0][0]
    except duckdb.Error:
        return  # RE2 refuses it: Great Expectations then evaluates the whole suite.
    assert matches == bool(re.search(pattern, searched)), (pattern, translated, searched)
