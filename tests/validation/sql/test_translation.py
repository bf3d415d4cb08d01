"""Expectations that have no translation to SQL: Great Expectations evaluates those itself."""

from __future__ import annotations

from datetime import datetime

import great_expectations.expectations as gxe
import pyarrow as pa
import pytest

from perennial.validation.sql.translation import translate

SCHEMA = pa.schema(
    [
        ("int", pa.int64()),
        ("small", pa.int32()),
        ("float", pa.float64()),
        ("text", pa.string()),
        ("time", pa.timestamp("us", tz="UTC")),
        ("bool", pa.bool_()),
    ]
)


@pytest.mark.parametrize(
    "expectation",
    [
        gxe.ExpectColumnValuesToBeBetween(column="text", min_value=1),
        gxe.ExpectColumnValuesToBeBetween(column="time", min_value=datetime(2024, 1, 1)),
        gxe.ExpectColumnValuesToBeInSet(column="int", value_set=["1"]),
        gxe.ExpectColumnValuesToMatchRegex(column="text", regex="(?i)a"),
        gxe.ExpectColumnValuesToMatchRegex(column="text", regex=r"(a)\1"),
        gxe.ExpectColumnValuesToMatchRegex(column="text", regex=r"\w"),
        gxe.ExpectColumnValuesToMatchRegex(column="int", regex="1"),
        gxe.ExpectColumnMeanToBeBetween(column="text", min_value=1),
        gxe.ExpectColumnValuesToNotBeNull(column="nowhere"),
        gxe.ExpectColumnValuesToNotBeNull(column="int", row_condition="small > 1", condition_parser="pandas"),
        gxe.ExpectColumnValuesToBeOfType(column="int", type_="int64"),
        gxe.ExpectColumnValueZScoresToBeLessThan(column="int", threshold=3, double_sided=True),
    ],
    ids=lambda expectation: str(expectation.configuration.kwargs)[:50],
)
def test_what_pandas_sees_otherwise_has_no_translation(expectation: gxe.Expectation) -> None:
    assert translate(expectation, SCHEMA) is None


def test_a_subclass_is_not_translated_like_its_parent() -> None:
    class ExpectNothing(gxe.ExpectColumnValuesToBeBetween):
        pass

    schema = pa.schema([("int", pa.int64())])
    assert translate(ExpectNothing(column="int", min_value=0), schema) is None
    assert translate(gxe.ExpectColumnValuesToBeBetween(column="int", min_value=0), schema) is not None
