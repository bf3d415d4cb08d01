"""Bins: each value of a column is counted once."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial.drift.bins import CATEGORIES, Bins, count_by_block
from perennial.drift.distances import column_distances


@settings(max_examples=examples(50), deadline=None)
@given(
    st.lists(st.one_of(st.none(), st.floats(-1e6, 1e6)), min_size=1, max_size=300),
    st.lists(st.one_of(st.none(), st.floats()), max_size=300),
)
def test_every_number_is_counted_once_in_its_bin(trained: list, now: list) -> None:
    values = pa.chunked_array([pa.array(now, pa.float64())])
    bins = Bins.of(pa.chunked_array([pa.array(trained, pa.float64())]))
    counts = bins.count(values)
    assert counts.sum() == len(now)
    assert counts[-1] == sum(value is None or np.isnan(value) for value in now)
    assert (counts == np.bincount(bins.codes(values), minlength=bins.size)).all()


@settings(max_examples=examples(50), deadline=None)
@given(st.lists(st.one_of(st.none(), st.sampled_from("abcdef")), max_size=100), st.sampled_from(["abc", "", "a"]))
def test_every_category_is_counted_once(now: list, names: str) -> None:
    bins = Bins.of(pa.chunked_array([pa.array(list(names), pa.string())]))
    counts = bins.count(pa.array(now, pa.string()))
    assert counts.sum() == len(now)
    assert counts[-1] == now.count(None)
    assert counts[-2] == sum(value is not None and value not in names for value in now)


def test_rare_categories_share_a_bin_and_none_of_them_is_new() -> None:
    names = [f"id-{number:05}" for number in range(3 * CATEGORIES)]
    bins = Bins.of(pa.chunked_array([names]))
    assert not bins.complete
    assert bins.size == CATEGORIES + 2
    assert "new" not in column_distances(bins, "jensenshannon", np.ones((1, bins.size)), np.ones((1, bins.size)))


@pytest.mark.parametrize("kind", [pa.bool_(), pa.decimal128(30, 2), pa.int32(), pa.float32(), pa.large_string()])
def test_a_column_of_any_type_is_counted(kind: pa.DataType) -> None:
    values = pa.chunked_array([pa.array([0, 1, None, 1]).cast(pa.bool_() if pa.types.is_boolean(kind) else kind)])
    counts = Bins.of(values).count(values)
    assert counts.sum() == 4
    assert counts[-1] == 1


def test_counts_by_block_are_the_counts() -> None:
    values = pa.chunked_array([[1.0, 2.0, None, 2.0]])
    bins = Bins.of(values)
    by_block = count_by_block(bins, values, np.array([0, 0, 1, 1]), 2)
    assert (by_block.sum(axis=0) == bins.count(values)).all()
    assert by_block.sum(axis=1).tolist() == [2, 2]
