"""The source of a new use case gives each row the same name whenever it is read, and only the rows that were meant."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import new_cases
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from perennial.scaffold import rendering
from perennial.scaffold.design import Design


def claims() -> pd.DataFrame:
    """Claims without a key, most of them filed twice; what was `paid` is known with the label, `closed` looks so."""
    random = np.random.default_rng(9)
    frame = pd.DataFrame({"at": pd.date_range("2024-01-01", periods=300, freq="D").repeat(2)})
    frame["amount"] = random.normal(size=300).round(3).repeat(2)
    frame["outcome"] = [*random.normal(size=540).round(3), *[None] * 60]
    frame["paid"] = random.normal(size=600).round(3)
    frame["closed"] = np.where(frame["outcome"].notna(), random.normal(size=600).round(3), np.nan)
    return frame


def without_key(folder: Path) -> Design:
    return new_cases.design(new_cases.csv(claims(), folder), label="outcome", no_key=True, later=["paid"])


def read(made: Design, data: str) -> pa.Table:
    """What the source, as it would be written, reads of all partitions from another place."""
    source = ModuleType("source")
    exec(rendering.files(made)["include/use_cases/tried/source.py"], vars(source))  # noqa: S102
    return pa.concat_tables([source.observations(partition, data) for partition in made.cuts.partitions])


def row_ids(made: Design, frame: pd.DataFrame, folder: Path) -> list[str]:
    return sorted(read(made, new_cases.csv(frame, folder, "version.csv"))["row_id"].to_pylist())


@pytest.mark.parametrize("column", ["outcome", "paid", "closed"])
def test_a_row_stays_that_row_when_more_is_learnt_of_it(tmp_path: Path, column: str) -> None:
    made = without_key(tmp_path)
    early = claims().assign(**{column: lambda frame: frame[column].where(frame.index < 200)})
    assert row_ids(made, early, tmp_path) == row_ids(made, claims(), tmp_path)


def test_a_row_that_was_another_at_its_moment_is_another_row(tmp_path: Path) -> None:
    made = without_key(tmp_path)
    other = claims().assign(amount=lambda frame: frame["amount"] + 10)
    assert not set(row_ids(made, other, tmp_path)) & set(row_ids(made, claims(), tmp_path))


def test_equal_rows_are_distinguished_by_later_columns(tmp_path: Path) -> None:
    made = without_key(tmp_path)
    shuffled = claims().sample(frac=1, random_state=1)
    once, again = (
        read(made, new_cases.csv(frame, tmp_path)).select(["row_id", "outcome", "paid", "closed"]).to_pandas()
        for frame in (claims(), shuffled)
    )
    assert once["row_id"].is_unique
    pd.testing.assert_frame_equal(
        *(each.sort_values("row_id", ignore_index=True) for each in (once, again)),
    )


def drifting() -> pd.DataFrame:
    """Hourly values that grow by one each, with words that change after a month and a column that ends then."""
    at = pd.date_range("2024-01-01", periods=2400, freq="h")
    frame = pd.DataFrame({"at": at, "size": range(2400), "x": np.sin(range(2400)), "y": np.cos(range(2400))})
    frame["word"] = np.where(frame.index < 744, frame.index % 3, frame.index % 2 + 5)
    frame["word"] = frame["word"].map("word {}".format)
    frame["old"] = np.where(frame.index < 700, frame["x"] + 1, np.nan)
    return frame.sample(frac=1, random_state=3)


BOUNDS = {"since": "2024-02-03T05:00", "until": "2024-03-20T07:30+01:00"}
FIRST, LAST = pd.Timestamp("2024-02-03T05:00", tz="UTC"), pd.Timestamp("2024-03-20T06:00", tz="UTC")


def test_rows_outside_since_and_until_are_not_read(tmp_path: Path) -> None:
    data = new_cases.csv(drifting(), tmp_path)
    made = new_cases.design(data, label="y", no_key=True, cadence="weekly", **BOUNDS)
    at = read(made, data)["at"].to_pandas()
    assert (at.min(), at.max(), len(at)) == (FIRST, LAST, made.rows)


def test_expectations_are_profiled_within_since_and_until(tmp_path: Path) -> None:
    data = new_cases.csv(drifting(), tmp_path)
    # It rises with time, and would be neither a feature nor expected.
    made = new_cases.design(data, label="y", no_key=True, cadence="weekly", keep=["size"], **BOUNDS)
    expectations = ModuleType("expectations")
    exec(rendering.files(made)["include/use_cases/tried/expectations.py"], vars(expectations))  # noqa: S102
    hours = [(each - pd.Timestamp("2024-01-01", tz="UTC")) // pd.Timedelta("1h") for each in (FIRST, LAST)]
    assert expectations.RANGES["size"] == tuple(hours)
    assert expectations.VALUES == {"word": ["word 5", "word 6"]}


def test_what_is_empty_within_since_and_until_is_left_out(tmp_path: Path) -> None:
    made = new_cases.design(new_cases.csv(drifting(), tmp_path), label="y", no_key=True, **BOUNDS)
    assert made.left_out["old"] == "is empty in every row that is used"
    assert "old" not in [column.name for column in made.columns]


def test_since_and_until_are_written_into_the_source(tmp_path: Path) -> None:
    made = new_cases.design(new_cases.csv(drifting(), tmp_path), label="y", no_key=True, **BOUNDS)
    source = " ".join(rendering.files(made)["include/use_cases/tried/source.py"].split())
    assert "Those before 2024-02-03 05:00:00+00:00 are left out (--since)." in source
    assert "Those from 2024-03-20 06:30:00+00:00 on are left out (--until)." in source


def test_a_rare_third_class_of_the_label_is_read(tmp_path: Path) -> None:
    frame = drifting().assign(y=["yes", "no", *["yes", "no"] * 19] * 60)
    frame.loc[range(5, 21), "y"] = "maybe"
    data = new_cases.csv(frame, tmp_path)
    made = new_cases.design(data, label="y", no_key=True, positive="yes")
    assert read(made, data)["y"].to_pandas().value_counts()["maybe"] == 16
