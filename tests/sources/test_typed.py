"""Values of a scan become values of their types, with work that is linear in the columns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial import Cadence
from perennial._common.duckdb_session import open_session
from perennial.sources import Column, Files
from perennial.sources.columns import reading, usual
from perennial.sources.csv_dialects import detect
from perennial.sources.csv_files import CsvFile
from perennial.sources.record_sources import CsvRecords
from perennial.sources.typed import Named, typed


class Counting:
    """A connection that sums what its queries cost to plan: the time grows with the square of their length."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self.connection, self.cost = connection, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.connection, name)

    def execute(self, sql: str, *given: Any) -> Any:
        self.cost += len(sql) ** 2
        return self.connection.execute(sql, *given)

    def sql(self, sql: str) -> Any:
        self.cost += len(sql) ** 2
        return self.connection.sql(sql)


@pytest.mark.parametrize("value", ["1.5", "x"])
def test_work_is_linear_in_the_columns(tmp_path: Path, value: str) -> None:
    costs = {}
    for columns in (50, 200):
        frame = pd.DataFrame(np.full((5, columns), "2.5"), columns=[f"f{number}" for number in range(columns)])
        frame.iloc[3, ::5] = value
        frame.to_csv(tmp_path / "a.csv", index=False)
        file = str(tmp_path / "a.csv")
        scan = CsvRecords(CsvFile(file, detect(file), ()))
        with open_session() as connection:
            counting: Any = Counting(connection)
            batch = typed(counting, scan, dict.fromkeys(frame.columns, "float64"), Named("shop", file))
        assert batch.rows.num_rows == (4 if value == "x" else 5)
        costs[columns] = counting.cost
    assert costs[200] <= 4.5 * costs[50]


texts = st.from_regex(r"[-+]?[0-9]{0,20}([.,][0-9]{0,20})?([eE][-+]?[0-9]{1,3})?[ ]?", fullmatch=True) | st.text()


@pytest.mark.parametrize("kind", ["int64", "float64"])
@settings(max_examples=examples(10), deadline=None)
@given(st.lists(texts, min_size=20))
def test_usual_numbers_are_read_as_all_others(kind: Any, values: list[str]) -> None:
    column = Column(kind)
    usually = usual(column, "VARCHAR")
    assert usually is not None
    sql = f"SELECT {usually}, {reading(column, 'VARCHAR')} FROM (SELECT unnest(?::VARCHAR[]) AS c)"  # noqa: S608
    with duckdb.connect() as connection:
        for short, whole in connection.execute(sql.replace("{c}", "c"), [values]).fetchall():
            assert short is None or (short, str(short)) == (whole, str(whole))


def test_values_of_records_that_time_brings_in_are_checked(tmp_path: Path) -> None:
    """The days of a later month turn out to be doubtful: the values of their records were not looked at before."""
    lines = [*(f"{day:02}/01/2023,{day}" for day in range(1, 29)), *(f"05/{day:02}/2023,1" for day in range(13, 29))]
    (tmp_path / "a.csv").write_text("\n".join(["when,v", *lines[:20], "05/06/2023,y", *lines[20:]]) + "\n")
    schema = {"when": Column("timestamp", format="%d/%m/%Y"), "v": Column("int64")}
    batch = Files("shop", str(tmp_path)).read_batch(schema, Cadence.MONTHLY.partition("2023-01"), "when")
    assert "unreadable(when); unreadable(v)" in batch.unreadable["reason"].to_pylist()
    assert batch.rows["v"].to_pylist() == [1, *range(13, 29)]  # The first is the same either way.
