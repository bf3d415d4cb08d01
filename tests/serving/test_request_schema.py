"""What a request may hold, by the types of the lake, and what is said of everything else."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.errors import BadFeatures, InvalidExamples
from perennial.serving.request_schema import MAX_EXAMPLES, RequestField, RequestSchema

NOON = datetime(2013, 1, 1, 12, tzinfo=UTC)
TIMESTAMP = pa.timestamp("us", tz="UTC")
#: A request feature of each type that the lake has, by its own name.
TYPES = {
    "text": pa.string(),
    "int32": pa.int32(),
    "int64": pa.int64(),
    "double": pa.float64(),
    "flag": pa.bool_(),
    "moment": TIMESTAMP,
    "day": pa.date32(),
    "price": pa.decimal128(6, 2),
    "numbers": pa.list_(pa.int64()),
}


def schema(**types: pa.DataType) -> RequestSchema:
    """Request features of these types, beside a key of two columns, of which one is an entity's."""
    features = [RequestField(name, kind, required=True, nullable=True) for name, kind in types.items()]
    entity = RequestField("carrier", pa.string(), required=True, nullable=False)
    key = [RequestField(name, pa.int64(), required=False, nullable=False) for name in ("flight", "leg")]
    return RequestSchema("flights", (entity, *features, *key))


def problem(value: Any, kind: pa.DataType, *, from_text: bool = False) -> str:
    with pytest.raises(InvalidExamples) as invalid:
        schema(fact=kind).check([{"carrier": "AA", "fact": value}], from_text=from_text)
    ((path, message),) = invalid.value.problems
    assert path.startswith("examples[0].fact")
    return message


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("text", "JFK"),
        ("text", ""),
        ("int32", 2**31 - 1),
        ("int64", -(2**63)),
        ("double", 1.5),
        ("double", 12),
        ("flag", True),
        ("moment", NOON),
        ("day", date(2013, 1, 1)),
        ("price", Decimal("12.50")),
        ("numbers", [1, 2]),
        *((name, None) for name in TYPES),
    ],
)
def test_a_value_of_each_type_reaches_the_model_unchanged(name: str, value: Any) -> None:
    asked = schema(fact=TYPES[name])
    table = asked.table(asked.check([{"carrier": "AA", "fact": value}]))
    assert table["fact"].to_pylist() == [value]
    assert table["fact"].type == TYPES[name]


@pytest.mark.parametrize(
    ("value", "kind", "message"),
    [
        ("12", pa.int64(), "expected int | null, got str"),
        (12.5, pa.int64(), "expected int | null, got float"),
        (True, pa.int64(), "expected int | null, got bool"),
        (1, pa.string(), "expected str | null, got int"),
        (2**63, pa.int64(), "expected int <= 9223372036854775807"),
        (-(2**31) - 1, pa.int32(), "expected int >= -2147483648"),
        (float("nan"), pa.float64(), "expected a finite number; null where none is known"),
        (float("inf"), pa.float64(), "expected a finite number; null where none is known"),
        ("2013-01-01T00:00:00", TIMESTAMP, "expected datetime with a timezone component"),
        ("\ud800", pa.string(), "expected valid Unicode text"),
    ],
)
def test_a_wrong_value_is_named(value: Any, kind: pa.DataType, message: str) -> None:
    assert problem(value, kind) == message


def test_a_problem_within_a_list_is_placed() -> None:
    with pytest.raises(InvalidExamples) as invalid:
        schema(fact=TYPES["numbers"]).check([{"carrier": "AA", "fact": [1, "x"]}])
    assert invalid.value.problems == (("examples[0].fact[1]", "expected int, got str"),)


def test_a_decimal_keeps_its_declared_precision() -> None:
    assert "would cause data loss" in problem(Decimal("12.345"), TYPES["price"])
    assert "precision" in problem(Decimal("12345.67"), TYPES["price"])


def test_scalars_of_numpy_and_pandas_are_taken() -> None:
    asked = schema(count=pa.int64(), moment=TIMESTAMP)
    given_ = {"carrier": "AA", "count": np.int64(7), "moment": pd.Timestamp(NOON)}
    assert asked.check([given_]) == [{"carrier": "AA", "count": 7, "moment": NOON}]


def test_the_command_line_may_write_values_as_text() -> None:
    asked = schema(count=pa.int64(), share=pa.float64(), flag=pa.bool_(), moment=TIMESTAMP)
    texts = {"carrier": "12", "count": "7", "share": "1e-3", "flag": "true", "moment": "2013-01-01T12:00:00Z"}
    assert asked.check([texts], from_text=True) == [
        {"carrier": "12", "count": 7, "share": 0.001, "flag": True, "moment": NOON}
    ]
    assert problem("nan", pa.float64(), from_text=True) == "expected a finite number; null where none is known"


def test_all_problems_are_listed_with_their_paths() -> None:
    wrong = [
        {"carrier": "AA", "hour": 12},
        {"carrier": None, "hour": "noon", "orign": "JFK"},
        "AA",
        {"flight": 1, "hour": 3},
    ]
    with pytest.raises(InvalidExamples, match=r"examples\[1\]\.carrier: null is not allowed") as invalid:
        schema(hour=pa.int64()).check(wrong)
    assert dict(invalid.value.problems) == {
        "examples[1].orign": "unknown field.",
        "examples[1].carrier": "null is not allowed: it is part of a key",
        "examples[1].hour": "expected int | null, got str",
        "examples[2]": "expected an object with the fields carrier, hour, flight, leg",
        "examples[3].carrier": "missing",
        "examples[3].leg": "missing: of the key flight, leg all is given, or nothing",
    }


def test_the_number_of_examples_is_limited() -> None:
    for count in (0, MAX_EXAMPLES + 1):
        with pytest.raises(InvalidExamples, match=f"expected 1 to {MAX_EXAMPLES} examples, got {count}"):
            schema().check([{"carrier": "AA"}] * count)
    assert len(schema().check([{"carrier": "AA"}] * MAX_EXAMPLES)) == MAX_EXAMPLES


def test_an_error_lists_a_bounded_number_of_problems() -> None:
    with pytest.raises(InvalidExamples) as invalid:
        schema().check([{str(number) * 500: 1 for number in range(500)}] * MAX_EXAMPLES)
    assert len(invalid.value.problems) == 100
    assert max(len(path) for path, _ in invalid.value.problems) < 80


def test_a_type_that_no_request_can_hold_is_reported() -> None:
    with pytest.raises(BadFeatures, match="'blob' of the examples is of type binary"):
        _ = RequestField("blob", pa.binary(), required=True, nullable=True).annotation


def test_the_json_schema_says_the_same() -> None:
    described = schema(hour=pa.int32()).json_schema()
    assert described["required"] == ["carrier", "hour"]
    assert described["additionalProperties"] is False
    assert described["properties"]["carrier"] == {"type": "string"}
    assert described["properties"]["hour"]["anyOf"][0] == {
        "type": "integer",
        "minimum": -(2**31),
        "maximum": 2**31 - 1,
    }


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.datetimes(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


@given(values, st.sampled_from(sorted(TYPES)), st.booleans())
def test_any_value_is_either_taken_or_named(value: Any, name: str, from_text: bool) -> None:
    asked = schema(fact=TYPES[name])
    try:
        checked = asked.check([{"carrier": "AA", "fact": value}], from_text=from_text)
    except InvalidExamples as error:
        ((path, _),) = error.problems
        assert path.startswith("examples[0].fact")
    else:
        assert asked.table(checked)["fact"].type == TYPES[name]
