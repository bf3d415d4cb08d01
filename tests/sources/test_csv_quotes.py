"""Quotes out of place: the quick look at bytes never says otherwise than Python's own reader."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.sources import csv_quotes
from perennial.sources.csv_text import Dialect

contents = st.lists(st.sampled_from(['"', '""', ",", "\n", "\r\n", "a", " ", '"a"', '"a,b"', '"a""b"']), max_size=12)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("quotes") / "a.csv"


@given(contents.map("".join), st.integers(1, 5), st.sampled_from(["utf-8", "utf-16", "cp1252"]))
def test_quotes_are_in_place_as_python_says(file: Path, content: str, chunk: int, encoding: str) -> None:
    content = f"h,i\n{content}"
    file.write_bytes(content.encode(encoding))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_quotes, "_CHUNK", chunk)
        found = csv_quotes.are_in_place(str(file), Dialect(encoding=encoding))
    try:
        list(csv.reader(io.StringIO(content, newline=""), strict=True))
    except csv.Error:
        assert not found
    else:
        assert found


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('a,b\n"x","y"\n"x,y","z ""q"""\n', True),
        ('a,b\n"x","y\nz"\n', True),
        ('a,b\n5" pipe,x\n', False),
        ('a,b\n"x","y"z\n', False),
        ('a,b\n"x","y\n', False),
    ],
)
def test_well_quoted_files_need_no_second_reading(file: Path, content: str, expected: bool) -> None:
    file.write_text(content)
    assert csv_quotes._are_in_pairs(str(file), Dialect()) is expected
