"""The fast check accepts nothing that the thorough one refuses, and returns the same values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from perennial.errors import InvalidExamples
from perennial.serving.fast_check import FastCheck
from perennial.serving.request_schema import RequestField, RequestSchema

FIELDS = (
    RequestField("carrier", pa.string(), required=True, nullable=False),
    RequestField("hour", pa.int8(), required=True, nullable=True),
    RequestField("seats", pa.int64(), required=True, nullable=True),
    RequestField("distance", pa.float64(), required=True, nullable=True),
    RequestField("is_late", pa.bool_(), required=True, nullable=True),
    RequestField("flight", pa.int64(), required=False, nullable=False),
    RequestField("day", pa.string(), required=False, nullable=False),
)
VALID = {"carrier": "AA", "hour": 9, "seats": 2**53 + 1, "distance": 12, "is_late": None}
THOROUGH = RequestSchema("flights", FIELDS)
object.__setattr__(THOROUGH, "__dict__", {**vars(THOROUGH), "_fast": None})


def outcome(schema: RequestSchema, examples: list[Any]) -> Any:
    """What a check returns, with the types of the values, or what it raises."""
    try:
        return [[(name, repr(each[name])) for name in sorted(each)] for each in schema.check(examples)]
    except InvalidExamples as error:
        return error.problems


def same(examples: list[Any]) -> None:
    assert outcome(RequestSchema("flights", FIELDS), examples) == outcome(THOROUGH, examples)


VALUES = st.sampled_from(
    [None, True, False, 0, 1, -129, 127, 128, 2**63 - 1, 2**63, -(2**63), 1.0, 1.5, float("nan"), float("inf"), "",
     "AA", "ü", "\ud800", "1", [], {}, b"x", np.int64(3), np.float64(2.5)]
)  # fmt: skip


@given(
    st.lists(
        st.dictionaries(st.sampled_from([*(field.name for field in FIELDS), "hours", 7]), VALUES, max_size=8)
        | st.builds(lambda changes: VALID | changes, st.dictionaries(st.sampled_from(list(VALID)), VALUES, max_size=2))
        | VALUES,
        min_size=1,
        max_size=3,
    )
)
@hypothesis_settings(max_examples=300, deadline=None)
def test_both_checks_agree(examples: list[Any]) -> None:
    same(examples)


@pytest.mark.parametrize(
    "optional", [{}, {"flight": 1, "day": "x"}, {"flight": 1}, {"flight": None, "day": "x"}], ids=str
)
def test_the_rest_of_a_key_is_whole_or_not_there(optional: dict[str, Any]) -> None:
    same([VALID, VALID | optional])


def test_a_valid_request_needs_no_thorough_check() -> None:
    check = FastCheck.of(FIELDS)
    assert check is not None
    assert check.checked([VALID, VALID | {"flight": 1, "day": "x"}]) == [
        VALID, VALID | {"flight": 1, "day": "x"}
    ]  # fmt: skip
    assert check.checked([VALID | {"hour": 200}]) is None


@pytest.mark.parametrize(
    "kind", [pa.float32(), pa.timestamp("us", "UTC"), pa.decimal128(5, 2), pa.list_(pa.int64())], ids=str
)
def test_other_types_are_checked_one_by_one(kind: pa.DataType) -> None:
    assert FastCheck.of([RequestField("a", kind, required=True, nullable=True)]) is None
