"""Which labels are known, and what tells that one was corrected."""

from __future__ import annotations

from types import SimpleNamespace

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial import lake
from perennial.errors import BadFeatures
from perennial.lake import labels
from perennial.use_case.table_names import TableNames

pytestmark = pytest.mark.usefixtures("home")
EXAMPLES = SimpleNamespace(key=("id",))
USE_CASE = SimpleNamespace(name="labelled", task="regression", tables=TableNames("labelled"), examples=EXAMPLES)
PARTITION = SimpleNamespace(key="2024-01")

ByKey = dict[str, float | None]


def batch(by_key: ByKey, kind: pa.DataType | None = None) -> pa.RecordBatch:
    return pa.record_batch(
        {"id": pa.array(by_key, pa.string()), "label": pa.array(by_key.values(), kind or pa.float64())}
    )


def known(by_key: ByKey, kind: pa.DataType | None = None) -> labels.KnownLabels:
    return labels.KnownLabels.among([batch(by_key, kind)], ["id", "label"])


def test_without_examples_nothing_is_known() -> None:
    assert labels.count_known(SimpleNamespace(tables=TableNames("nothing"), examples=EXAMPLES), ["2024-01"]) == {
        "2024-01": labels.KnownLabels()
    }


def test_what_the_lake_knows_is_counted_by_partition() -> None:
    for partition, by_key in (("2024-01", {"a": 1.0, "b": None, "c": float("nan")}), ("2024-02", {"a": None})):
        lake.replace("labelled.examples", partition, pa.Table.from_batches([batch(by_key)]))
    assert labels.count_known(USE_CASE, ["2024-01", "2024-02"]) == {
        "2024-01": known({"a": 1.0}),
        "2024-02": labels.KnownLabels(),
    }
    assert labels.read_known(USE_CASE, PARTITION).to_dicts() == [{"id": "a", "label": 1.0}]


@pytest.mark.parametrize("unknown", [None, float("nan")])
def test_null_and_not_a_number_are_not_known(unknown: float | None) -> None:
    assert known({"a": 1.0, "b": unknown}) == known({"a": 1.0})


def test_not_a_number_becomes_null() -> None:
    column = pa.chunked_array([[1.0, float("nan"), None]])
    assert labels.null_where_unknown(column).to_pylist() == [1.0, None, None]


@pytest.mark.parametrize("kind", [pa.int64(), pa.bool_(), pa.float32()])
def test_the_type_of_a_label_is_no_part_of_it(kind: pa.DataType) -> None:
    one, none = pa.array([1, 0]).cast(kind).to_pylist()
    assert known({"a": one, "b": none}, kind) == known({"a": 1.0, "b": 0.0})


@given(by_key=st.dictionaries(st.text("abc", min_size=1), st.integers(0, 3), min_size=2, max_size=6), data=st.data())
def test_a_corrected_label_is_seen_and_another_order_is_not(by_key: ByKey, data: st.DataObject) -> None:
    before = known(by_key)
    shuffled = data.draw(st.permutations(list(by_key.items())))
    batches = [batch(dict(shuffled[:1])), batch(dict(shuffled[1:]))]
    assert labels.KnownLabels.among(batches, ["id", "label"]) == before
    one = data.draw(st.sampled_from(sorted(by_key)))
    after = known(by_key | {one: by_key[one] + 1})
    assert after.count == before.count == len(by_key)
    assert after.digest != before.digest


def test_labels_that_change_places_are_corrected_ones() -> None:
    assert known({"a": 1.0, "b": 0.0}) != known({"a": 0.0, "b": 1.0})


CLASSES = SimpleNamespace(name="tickets", task="multiclass", classes=("red", "green", "blue"))


def test_labels_of_classes_are_their_places() -> None:
    assert labels.encoded(CLASSES, pa.chunked_array([["blue", "red"], ["green"]])).tolist() == [2, 0, 1]
    assert labels.encoded(CLASSES, pa.chunked_array([pa.array([], pa.string())])).tolist() == []


def test_a_label_that_is_no_declared_class_is_refused_with_its_number_of_rows() -> None:
    column = pa.chunked_array([["red", "pink", None, "pink", "grey"]])
    with pytest.raises(BadFeatures) as refused:
        labels.check_declared(CLASSES, column, "Use case 'tickets', partition '2024-01'")
    assert refused.value.problem.startswith("Use case 'tickets', partition '2024-01': ")
    assert "'grey' of 1, 'pink' of 2 examples" in refused.value.problem


def test_numbers_are_no_names_also_where_they_read_alike() -> None:
    digits = SimpleNamespace(name="digits", task="multiclass", classes=("0", "1", "2"))
    with pytest.raises(BadFeatures, match="labels are of type Int64, such as 1, and classes are names") as refused:
        labels.encoded(digits, pa.chunked_array([[1, 2]]))
    assert 'label.cast("string")' in refused.value.fix
    assert labels.encoded(digits, pa.chunked_array([["1", "2"]])).tolist() == [1, 2]


def test_reading_labels_that_are_not_declared_any_more_names_their_partition() -> None:
    rows = pa.table({"id": ["a", "b"], "label": ["red", "pink"]})
    lake.replace("coloured.examples", "2024-01", rows)
    case = SimpleNamespace(**vars(CLASSES), tables=TableNames("coloured"), examples=EXAMPLES)
    with pytest.raises(BadFeatures, match="partition '2024-01': labels that are no declared class: 'pink' of 1"):
        labels.read_known(case, PARTITION)


def test_a_corrected_class_is_another_digest() -> None:
    kind = pa.string()
    assert known({"a": "red", "b": None}, kind) == known({"a": "red"}, kind)
    assert known({"a": "red"}, kind) != known({"a": "blue"}, kind)
