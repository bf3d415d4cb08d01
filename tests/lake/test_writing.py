"""Writes to a real Iceberg catalog in PostgreSQL."""

from __future__ import annotations

import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import count

import pyarrow as pa
import pytest
from examples import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from perennial import lake
from perennial.errors import SchemaMismatch

pytestmark = pytest.mark.usefixtures("home")
_names = count()


@pytest.fixture
def identifier() -> str:
    return f"lake_test.t{next(_names)}"


def rows(**columns: list) -> pa.Table:
    return pa.table(columns)


def content(identifier: str) -> list[dict]:
    return sorted(lake.read(identifier).to_pylist(), key=str)


def test_replace_changes_only_its_own_partition(identifier: str) -> None:
    lake.replace(identifier, "2013-01", rows(id=[1, 2]))
    lake.replace(identifier, "2013-02", rows(id=[3]))
    lake.replace(identifier, "2013-01", rows(id=[9]))
    assert content(identifier) == [{"partition": "2013-01", "id": 9}, {"partition": "2013-02", "id": 3}]


def test_replacing_by_the_same_content_makes_no_snapshot(identifier: str) -> None:
    first = lake.replace(identifier, "2013-01", rows(id=[2, 1]), sort_by=["id"])
    assert lake.replace(identifier, "2013-01", rows(id=[1, 2]), sort_by=["id"]) == first


def test_what_is_not_a_number_is_the_same_again(identifier: str) -> None:
    content_with_nan = rows(id=[1, 2, 3], share=[float("nan"), None, 1.0], parts=[[float("nan"), None], None, []])
    first = lake.replace(identifier, "2013-01", content_with_nan)
    assert lake.replace(identifier, "2013-01", content_with_nan) == first
    assert lake.replace(identifier, "2013-01", content_with_nan.drop_columns(["share"])) != first


MISFITS = {
    "truth value": (pa.array([True]), pa.array([2])),
    "rounded": (pa.array([Decimal("0.5")]), pa.array([Decimal("0.25")])),
    "fraction": (pa.array([1]), pa.array([1.5])),
    "fraction in int": (pa.array([1], pa.int32()), pa.array([2**40 + 0.5])),
    "too large": (pa.array([1]), pa.array([2**63], pa.uint64())),
    "too many digits": (pa.array([Decimal("0.5")]), pa.array([Decimal(10**37)], pa.decimal128(38, 0))),
    "beyond doubles": (pa.array([0.5]), pa.array([2**53 + 1])),
    "text": (pa.array(["a"]), pa.array([True])),
    "number in text": (pa.array([1.5]), pa.array(["3.5"])),
    "time of day": (pa.array([date(2013, 1, 1)]), pa.array([datetime(2013, 1, 1, 12, tzinfo=UTC)])),
}


@pytest.mark.parametrize("case", MISFITS)
def test_a_value_that_would_become_another_is_refused(identifier: str, case: str) -> None:
    stored, coming = MISFITS[case]
    before = lake.replace(identifier, "2013-01", pa.table({"value": stored}))
    with pytest.raises(SchemaMismatch, match=re.escape(f"'value' is {stored.type} there and")):
        lake.check_schema(identifier, pa.table({"value": coming}))
    with pytest.raises(SchemaMismatch, match="'value'"):
        lake.replace(identifier, "2013-02", pa.table({"value": coming}))
    assert lake.snapshot(identifier) == before


def test_no_truth_becomes_text_inside_a_list(identifier: str) -> None:
    lake.replace(identifier, "2013-01", rows(value=[["a"]]))
    with pytest.raises(SchemaMismatch, match="'value'"):
        lake.replace(identifier, "2013-02", rows(value=[[True]]))


@pytest.mark.parametrize("coming", [pa.array([["a"]]), pa.array([1])], ids=["list", "number"])
def test_what_does_not_fit_a_list_is_refused(identifier: str, coming: pa.Array) -> None:
    before = lake.replace(identifier, "2013-01", pa.table({"value": [[1]]}))
    with pytest.raises(SchemaMismatch, match="'value' is large_list<element: int64> there and"):
        lake.replace(identifier, "2013-02", pa.table({"value": coming}))
    assert lake.snapshot(identifier) == before


EXACT = {
    "whole doubles": (pa.array([1]), pa.array([2.0, None]), [2, None]),
    "whole numbers": (pa.array([0.5]), pa.array([2, None]), [2.0, None]),
    "wider": (pa.array([0.5]), pa.array([0.25], pa.float32()), [0.25]),
    "decimals": (pa.array([0.5]), pa.array([Decimal("1.5")]), [1.5]),
    "narrower": (pa.array([1], pa.int32()), pa.array([2**20]), [2**20]),
    "nulls": (pa.array([0.5]), pa.nulls(2), [None, None]),
    "days": (
        pa.array([datetime(2013, 1, 1, tzinfo=UTC)]),
        pa.array([date(2013, 2, 1)]),
        [datetime(2013, 2, 1, tzinfo=UTC)],
    ),
}


@pytest.mark.parametrize("case", EXACT)
def test_a_value_that_stays_what_it_is_enters(identifier: str, case: str) -> None:
    stored, coming, expected = EXACT[case]
    lake.replace(identifier, "2013-01", pa.table({"value": stored}))
    lake.check_schema(identifier, pa.table({"value": coming}))
    lake.replace(identifier, "2013-02", pa.table({"value": coming}))
    assert lake.read(identifier, partitions=["2013-02"])["value"].to_pylist() == expected


def test_an_empty_column_takes_the_type_of_its_first_values(identifier: str) -> None:
    before = lake.replace(identifier, "2013-01", pa.table({"id": [1], "weight": pa.nulls(1)}))
    lake.check_schema(identifier, rows(id=[2], weight=[10.5]))
    lake.replace(identifier, "2013-02", rows(id=[2], weight=[10.5]))
    assert [row["weight"] for row in content(identifier)] == [None, 10.5]
    assert lake.read(identifier)["weight"].type == pa.float64()
    assert lake.read(identifier, snapshot=before)["weight"].to_pylist() == [None]
    with pytest.raises(SchemaMismatch):
        lake.replace(identifier, "2013-03", rows(id=[3], weight=["heavy"]))


#: What a column holds, what comes, the type that it is promoted to.
PROMOTED = {
    "int": (pa.array([1, None], pa.int32()), pa.array([2**40, -(2**63)]), pa.int64()),
    "int by whole doubles": (pa.array([1], pa.int32()), pa.array([2.0**40]), pa.int64()),
    "float": (pa.array([0.1, float("inf")], pa.float32()), pa.array([0.1, None]), pa.float64()),
    "float by whole numbers": (pa.array([0.5], pa.float32()), pa.array([2**24 + 1]), pa.float64()),
    "decimal": (pa.array([Decimal("1.50")]), pa.array([Decimal("12345678.25")]), pa.decimal128(10, 2)),
    "decimal by whole numbers": (pa.array([Decimal("1.50")]), pa.array([2**63 - 1]), pa.decimal128(22, 2)),
    "decimal by doubles": (pa.array([Decimal("1.50")]), pa.array([2.0**40]), pa.decimal128(38, 2)),
}


@pytest.mark.parametrize("case", PROMOTED)
def test_promoting_an_outgrown_column_keeps_every_value(identifier: str, case: str) -> None:
    stored, coming, wider = PROMOTED[case]
    lake.replace(identifier, "2013-01", pa.table({"value": stored}))
    lake.check_schema(identifier, pa.table({"value": coming}))
    lake.replace(identifier, "2013-02", pa.table({"value": coming}))
    assert lake.read(identifier)["value"].type == wider
    for partition, values in (("2013-01", stored), ("2013-02", coming)):
        assert lake.read(identifier, partitions=[partition])["value"].to_pylist() == values.to_pylist()


def test_a_promoted_column_still_takes_narrow_values(identifier: str) -> None:
    lake.replace(identifier, "2013-01", pa.table({"value": pa.array([1], pa.int32())}))
    lake.replace(identifier, "2013-02", rows(value=[2**40]))
    lake.replace(identifier, "2013-03", pa.table({"value": pa.array([3], pa.int32())}))
    assert lake.read(identifier, partitions=["2013-03"])["value"].equals(pa.chunked_array([[3]]))


def test_a_promoted_partition_written_again_makes_no_snapshot(identifier: str) -> None:
    narrow = pa.table({"value": pa.array([1], pa.int32())})
    lake.replace(identifier, "2013-01", narrow)
    before = lake.replace(identifier, "2013-02", rows(value=[2**40]))
    assert lake.replace(identifier, "2013-01", narrow) == before


def test_records_keyed_before_a_promotion_are_appended_once(identifier: str) -> None:
    lake.append_missing(identifier, pa.table({"partition": ["p"], "id": pa.array([1], pa.int32())}), key=["id"])
    added = lake.append_missing(identifier, rows(partition=["p", "p"], id=[1, 2**40]), key=["id"])
    assert added["id"].to_pylist() == [2**40]


def test_a_column_is_promoted_beside_a_new_one(identifier: str) -> None:
    lake.replace(identifier, "2013-01", pa.table({"value": pa.array([1], pa.int32())}))
    lake.replace(identifier, "2013-02", rows(value=[2**40], extra=["new"]))
    assert [(row["value"], row["extra"]) for row in content(identifier)] == [(1, None), (2**40, "new")]


def test_writers_that_promote_a_column_at_once_lose_nothing(identifier: str) -> None:
    lake.replace(identifier, "2013-01", pa.table({"value": pa.array([1], pa.int32()), "share": pa.array([0.5], "f4")}))
    coming = {
        f"2013-{month:02}": rows(value=[2**40 + month]) if month % 2 else rows(share=[month / 10])
        for month in range(2, 8)
    }
    with ThreadPoolExecutor(3) as writers:
        list(writers.map(lambda partition: lake.replace(identifier, partition, coming[partition]), coming))
    for partition, written in coming.items():
        assert lake.read(identifier, partitions=[partition]).select(written.column_names).equals(written)


def test_columns_of_other_types_enter_beside_a_new_one(identifier: str) -> None:
    lake.replace(identifier, "2013-01", rows(id=[1], share=[0.5]))
    lake.replace(identifier, "2013-02", pa.table({"id": [2.0], "share": pa.nulls(1), "extra": ["new"]}))
    assert content(identifier)[1] == {"partition": "2013-02", "id": 2, "share": None, "extra": "new"}


def test_what_is_refused_changes_no_column(identifier: str) -> None:
    narrow = pa.array([1], pa.int32())
    lake.replace(identifier, "2013-01", pa.table({"id": [1], "weight": pa.nulls(1), "count": narrow}))
    before = lake.read(identifier).schema
    with pytest.raises(SchemaMismatch, match="'id' is int64 there and string here"):
        lake.replace(identifier, "2013-02", rows(id=["x"], weight=[0.5], count=[2**40], extra=[1]))
    assert lake.read(identifier).schema == before


@pytest.mark.parametrize("is_new", [True, False], ids=["new table", "new column"])
@pytest.mark.parametrize("kind", [pa.duration("us"), pa.time32("s"), pa.date64(), pa.list_(pa.null())], ids=str)
def test_a_type_that_the_lake_does_not_have_is_refused(identifier: str, kind: pa.DataType, is_new: bool) -> None:
    before = None if is_new else lake.replace(identifier, "2013-01", rows(id=[1]))
    coming = pa.table({"id": [2], "value": pa.nulls(1, kind)})
    for attempt in (lambda: lake.check_schema(identifier, coming), lambda: lake.replace(identifier, "2013-02", coming)):
        with pytest.raises(
            SchemaMismatch, match=re.escape(f"'value' is {kind} here, a type that the lake does not have")
        ):
            attempt()
    assert lake.snapshot(identifier) == before
    assert (lake.table(identifier) is None) is is_new


def test_a_number_too_large_for_the_type_it_would_get_is_refused(identifier: str) -> None:
    with pytest.raises(SchemaMismatch, match="'value' would be int32 there and is uint32 here"):
        lake.replace(identifier, "2013-01", pa.table({"value": pa.array([2**31], pa.uint32())}))
    assert lake.table(identifier) is None


def finding(at: int, values: list[float], partition: str = "p", view: str = "v") -> pa.Table:
    moment = pa.array([datetime(2024, 1, 1, at, tzinfo=UTC)] * len(values), pa.timestamp("us", tz="UTC"))
    columns = {"partition": [partition] * len(values), "view": [view] * len(values), "value": values}
    return pa.table({**columns, "recorded_at": moment})


def test_what_is_recorded_already_is_not_appended(identifier: str) -> None:
    assert lake.append_changed(identifier, finding(1, [1.0, float("nan")])).num_rows == 2
    assert lake.append_changed(identifier, finding(2, [float("nan"), 1.0])).num_rows == 0


def test_a_finding_is_appended_as_a_whole(identifier: str) -> None:
    lake.append_changed(identifier, finding(1, [1.0, 2.0]))
    assert lake.append_changed(identifier, finding(2, [1.0, 3.0]))["value"].to_pylist() == [1.0, 3.0]
    assert lake.append_changed(identifier, finding(3, [1.0]))["value"].to_pylist() == [1.0], "it lost a row"


def test_findings_of_another_partition_or_view_are_apart(identifier: str) -> None:
    lake.append_changed(identifier, finding(1, [1.0]), per=["view"])
    for partition, view in (("q", "v"), ("p", "w")):
        assert lake.append_changed(identifier, finding(1, [1.0], partition, view), per=["view"]).num_rows == 1
    assert lake.append_changed(identifier, finding(2, [1.0]), per=["view"]).num_rows == 0


def test_append_missing_never_touches_what_is_there(identifier: str) -> None:
    lake.append_missing(identifier, rows(partition=["p"], id=[1], value=["first"]), key=["id"])
    added = lake.append_missing(identifier, rows(partition=["p", "p"], id=[1, 2], value=["x", "y"]), key=["id"])
    assert added["id"].to_pylist() == [2]
    assert [row["value"] for row in content(identifier)] == ["first", "y"]


def test_a_new_column_widens_the_table_and_old_rows_read_null(identifier: str) -> None:
    lake.replace(identifier, "2013-01", rows(id=[1]))
    lake.replace(identifier, "2013-02", rows(id=[2], extra=["new"]))
    assert [row["extra"] for row in content(identifier)] == [None, "new"]


def test_timestamps_are_stored_as_utc_microseconds(identifier: str) -> None:
    naive = pa.array([datetime(2013, 1, 1)], pa.timestamp("ns"))
    lake.replace(identifier, "2013-01", pa.table({"at": naive}))
    read = lake.read(identifier)
    assert read.schema.field("at").type == pa.timestamp("us", tz="UTC")
    assert read["at"].to_pylist() == [datetime(2013, 1, 1, tzinfo=UTC)]


writes = st.lists(st.tuples(st.sampled_from(["a", "b", "c"]), st.lists(st.integers(0, 5), max_size=4)), max_size=6)


@settings(max_examples=examples(15), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(writes=writes)
def test_the_lake_is_the_last_write_of_each_partition(writes: list[tuple[str, list[int]]]) -> None:
    identifier = f"lake_test.t{next(_names)}"
    expected: dict[str, list[int]] = {}
    for partition, ids in writes:
        lake.replace(identifier, partition, pa.table({"id": pa.array(ids, pa.int64())}), sort_by=["id"])
        expected[partition] = sorted(ids)
    stored = lake.read(identifier)
    ids_of = (
        {p: sorted(r["id"] for r in stored.to_pylist() if r["partition"] == p) for p in expected}
        if stored is not None
        else {}
    )
    assert ids_of == expected


def _hours(*hours: int) -> pa.Array:
    return pa.array([datetime(2013, 1, 1, hour, tzinfo=UTC) for hour in hours], pa.timestamp("us", "UTC"))


def _at(hour: int) -> tuple[str, datetime]:
    return "at", datetime(2013, 1, 1, hour, tzinfo=UTC)


def test_an_open_part_is_replaced_from_a_moment_on(identifier: str) -> None:
    lake.replace_open(identifier, "2013-01", rows(at=_hours(1, 2, 3), id=[1, 2, 3]))
    done = lake.replace_open(identifier, "2013-01", rows(at=_hours(2, 3, 4), id=[2, 30, 4]), since=_at(2))
    assert [row["id"] for row in content(identifier)] == [1, 2, 30, 4]
    assert sorted(done.new["id"].to_pylist()) == [4, 30]
    assert done.before != done.after


def test_an_open_part_that_is_there_makes_no_snapshot(identifier: str) -> None:
    part = rows(at=_hours(1, 2), id=[1, 1], value=[None, float("nan")])
    lake.replace_open(identifier, "2013-01", part)
    done = lake.replace_open(identifier, "2013-01", part, since=_at(1))
    assert (done.new.num_rows, done.before) == (0, done.after)


def test_an_open_part_leaves_other_partitions_alone(identifier: str) -> None:
    lake.replace(identifier, "2012-12", rows(at=_hours(5), id=[5]))
    lake.replace_open(identifier, "2013-01", rows(at=_hours(1), id=[1]))
    lake.replace_open(identifier, "2013-01", rows(at=_hours(2), id=[2]), since=_at(0))
    assert [(row["partition"], row["id"]) for row in content(identifier)] == [("2012-12", 5), ("2013-01", 2)]


def test_what_is_pinned_holds_no_open_part(identifier: str) -> None:
    assert lake.snapshots([identifier]) == {}
    lake.replace(identifier, "2012-12", rows(id=[5]))
    pinned = lake.snapshots([identifier])
    lake.replace_open(identifier, "2013-01", rows(id=[1]))
    assert lake.snapshots([identifier]) == pinned


def test_the_whole_partition_lasts_even_if_it_was_there(identifier: str) -> None:
    lake.replace(identifier, "2012-12", rows(id=[5]))
    lake.replace_open(identifier, "2013-01", rows(id=[1]))
    last = lake.replace(identifier, "2013-01", rows(id=[1]))
    assert lake.snapshots([identifier]) == {identifier: last}
    lake.replace_open(identifier, "2013-02", rows(id=[1]))
    assert lake.replace(identifier, "2012-12", rows(id=[5])) == lake.snapshot(identifier) != last, "written for nothing"
    assert lake.snapshots([identifier]) == {identifier: last}


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3)), max_size=12), st.integers(0, 5), st.data())
@settings(max_examples=examples(15), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_an_open_part_and_its_news_equal_an_oracle(before, since: int, data) -> None:
    after = data.draw(st.lists(st.tuples(st.integers(since, 5), st.integers(0, 3)), max_size=12))
    identifier = f"lake_test.t{next(_names)}"

    def table(of: list[tuple[int, int]]) -> pa.Table:
        return rows(at=_hours(*(hour for hour, _ in of)), id=pa.array([number for _, number in of], pa.int64()))

    lake.replace_open(identifier, "2013-01", table(before))
    done = lake.replace_open(identifier, "2013-01", table(after), since=_at(since))
    stored = Counter((row["at"].hour, row["id"]) for row in content(identifier))
    assert stored == Counter([pair for pair in before if pair[0] < since]) + Counter(after)
    fresh = Counter((row["at"].hour, row["id"]) for row in done.new.to_pylist())
    assert fresh == Counter(after) - Counter(pair for pair in before if pair[0] >= since)
