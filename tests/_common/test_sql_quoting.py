"""Names and texts in SQL, whatever they contain."""

from __future__ import annotations

import sqlite3

import duckdb
import pytest

from perennial._common.sql_quoting import quote_ident, quote_literal

TEXTS = ["plain", "two words", 'a "quoted" one', "it's", "'; DROP TABLE t; --", '"', "'", "back\\slash", "naïve", ""]


@pytest.mark.parametrize("engine", [duckdb.connect, lambda: sqlite3.connect(":memory:")], ids=["duckdb", "sqlite"])
@pytest.mark.parametrize("text", TEXTS)
def test_a_literal_is_the_text_itself(engine, text: str) -> None:
    assert engine().execute(f"SELECT {quote_literal(text)}").fetchall() == [(text,)]


@pytest.mark.parametrize("engine", [duckdb.connect, lambda: sqlite3.connect(":memory:")], ids=["duckdb", "sqlite"])
@pytest.mark.parametrize("name", [name for name in TEXTS if name])
def test_an_identifier_names_the_column(engine, name: str) -> None:
    result = engine().execute(f"SELECT {quote_ident(name)} FROM (SELECT 1 AS {quote_ident(name)})")  # noqa: S608
    assert result.description[0][0] == name
    assert result.fetchall() == [(1,)]
