"""The drift report, drawn from counts."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from drift_cases import PARTITION, sample, use_case
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial import drift
from perennial.drift.bins import Bins
from perennial.drift.report import DRAWN_ROWS, sample_rows


def test_the_page_says_of_how_many_rows_it_is(world) -> None:
    counted = drift.ColumnCounts.of(world, [pa.Table.from_pandas(sample(2, 1_000), preserve_index=False)])
    page = drift.html_report(world, counted, drift.compare(use_case(), world, PARTITION, counted))
    assert "all 1,000 rows" in page
    assert "20,000 training rows" in page
    assert "https://" not in page.split("<body>")[1][:2_000]


def test_a_page_of_nothing_but_nulls_is_a_page(world) -> None:
    empty = sample(2, 100).assign(number=None, letter=None, whole=None)
    counted = drift.ColumnCounts.of(world, [pa.Table.from_pandas(empty, preserve_index=False)])
    assert "all 100 rows" in drift.html_report(world, counted, drift.compare(use_case(), world, PARTITION, counted))


@settings(max_examples=examples(25), deadline=None)
@given(st.lists(st.one_of(st.none(), st.floats(-1e6, 1e6)), min_size=1, max_size=2_000))
def test_drawn_rows_keep_the_range_and_the_share_of_nulls(values: list[float | None]) -> None:
    column = pa.chunked_array([pa.array(values, pa.float64())])
    bins = Bins.of(column)
    drawn = sample_rows(bins, bins.count(column))
    assert len(drawn) == DRAWN_ROWS
    assert drawn.isna().mean() == pytest.approx(column.null_count / len(values), abs=1 / DRAWN_ROWS)
    present = [value for value in values if value is not None]
    if present and drawn.notna().any():
        assert min(present) - 1e-6 <= drawn.min() <= drawn.max() <= np.nextafter(max(present), np.inf) + 1e-6
