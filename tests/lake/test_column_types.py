"""What a column takes in, and what it is promoted to: no value becomes another one."""

from __future__ import annotations

from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.lake import column_types

DECIMALS = st.decimals(-9999, 9999, places=2, allow_nan=False)
#: Types of a column that can be promoted, and its values.
NARROW = {
    pa.int32(): st.integers(-(2**31), 2**31 - 1),
    pa.float32(): st.floats(width=32, allow_nan=False),
    pa.decimal128(6, 2): DECIMALS,
}
COMING = {
    pa.int32(): st.integers(-(2**31), 2**31 - 1),
    pa.int64(): st.integers(-(2**63), 2**63 - 1),
    pa.uint64(): st.integers(0, 2**64 - 1),
    pa.float64(): st.floats(allow_nan=False) | st.integers(-(2**53), 2**53).map(float),
    pa.decimal128(20, 2): st.decimals(-(10**17), 10**17, places=2, allow_nan=False),
    pa.decimal128(38, 0): st.integers(-(10**38) + 1, 10**38 - 1).map(Decimal),
}


def columns(kinds: dict[pa.DataType, st.SearchStrategy]) -> st.SearchStrategy[pa.ChunkedArray]:
    return st.sampled_from(list(kinds)).flatmap(
        lambda kind: st.lists(st.none() | kinds[kind], min_size=1, max_size=4).map(
            lambda values: pa.chunked_array([pa.array(values, kind)])
        )
    )


@given(stored=columns(NARROW), coming=columns(COMING))
def test_a_column_accepts_promotes_or_refuses_but_keeps_values(
    stored: pa.ChunkedArray, coming: pa.ChunkedArray
) -> None:
    schema = pa.schema({"value": stored.type})
    plan = column_types.plan_columns(pa.table({"value": coming}), schema, lambda _: True)
    if plan.misfits:
        assert column_types.cast_exactly(coming, stored.type) is None
        return
    kind = plan.promoted.get("value", stored.type)
    kept, added = column_types.cast_exactly(stored, kind), column_types.cast_exactly(coming, kind)
    assert kept is not None
    assert added is not None
    assert kept.to_pylist() == stored.to_pylist()
    # A decimal may be a double, from which it can be told again.
    assert column_types.columns_equal(added.cast(coming.type), coming)


@pytest.mark.parametrize(
    ("stored", "coming"),
    [(pa.int64(), [0.5]), (pa.float64(), [2**53 + 1]), (pa.int32(), [0.5]), (pa.int32(), ["1"]), (pa.string(), [1])],
)
def test_what_iceberg_does_not_promote_is_no_promotion(stored: pa.DataType, coming: list) -> None:
    plan = column_types.plan_columns(pa.table({"value": coming}), pa.schema({"value": stored}), lambda _: True)
    assert not plan.promoted
    assert len(plan.misfits) == 1


def test_decimal_digits_follow_the_type_not_the_values() -> None:
    schema = pa.schema({"value": pa.decimal128(4, 2)})
    for value in (1, 2**62):
        plan = column_types.plan_columns(pa.table({"value": [value]}), schema, lambda _: True)
        assert plan.promoted == {"value": pa.decimal128(22, 2)}
