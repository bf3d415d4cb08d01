"""The as-of join against a slow, obviously right one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pyarrow as pa
from examples import examples
from hypothesis import example, given, settings
from hypothesis import strategies as st

from perennial.feature_store.publication import AT_ONCE, Publication
from perennial.feature_store.retrieval.join_key_encoding import JoinKeyEncoder
from perennial.feature_store.retrieval.point_in_time import EntityTimes, FeatureRows, newest_known, newest_of_each

START = datetime(2013, 1, 1, tzinfo=UTC)
KEYS = st.sampled_from(["a", "b", None])
MINUTES = st.one_of(st.none(), st.integers(0, 12))
#: key, event minute, created minute, value
ROWS = st.lists(st.tuples(KEYS, MINUTES, MINUTES, st.one_of(st.none(), st.integers(0, 3))), max_size=25)
EXAMPLES = st.lists(st.tuples(KEYS, MINUTES), max_size=12)
FIVE_MINUTELY = Publication(timedelta(minutes=5), timedelta(minutes=1))
PUBLICATIONS = st.one_of(
    st.just(AT_ONCE),
    st.builds(
        Publication,
        st.one_of(st.none(), st.integers(1, 8).map(lambda minutes: timedelta(minutes=minutes))),
        st.integers(0, 5).map(lambda minutes: timedelta(minutes=minutes)),
    ),
)
TTL = st.one_of(st.none(), st.integers(1, 8).map(lambda minutes: timedelta(minutes=minutes)))


def moments(minutes: list[int | None]) -> pa.Array:
    return pa.array(
        [None if minute is None else START + timedelta(minutes=minute) for minute in minutes], pa.timestamp("us", "UTC")
    )


def order(value: int | None) -> tuple[bool, int]:
    """Nulls first."""
    return value is not None, value or 0


def seen(
    rows: list,
    key: str | None,
    minute: int | None,
    ttl: timedelta | None,
    with_created: bool,
    only_known: bool,
    publication: Publication = AT_ONCE,
):
    """What an example sees: the value, and when it became known."""

    def is_published(known: int) -> bool:
        return publication.of(START + timedelta(minutes=known)) <= START + timedelta(minutes=minute)

    visible = [
        (event, order(created) if with_created else (), order(value), value)
        for name, event, created, value in rows
        if None not in (key, minute, event) and name == key and is_published(event)
        if not (with_created and only_known) or (created is not None and is_published(max(event, created)))
    ]
    newest = max(visible, default=None)
    if newest is None or (ttl and timedelta(minutes=minute - newest[0]) > ttl):
        return None
    return newest[0], newest[3]


def features_of(rows: list, with_created: bool) -> FeatureRows:
    keys, events, created, values = zip(*rows, strict=True) if rows else ([], [], [], [])
    return FeatureRows(
        [pa.array(keys, pa.string())],
        moments(list(events)),
        pa.table({"value": pa.array(values, pa.int64())}),
        moments(list(created)) if with_created else None,
    )


@settings(max_examples=examples(400), deadline=None)
@given(ROWS, EXAMPLES, TTL, st.booleans(), st.booleans(), PUBLICATIONS)
@example([("a", 0, 0, 1)], [("a", 5), ("a", 5)], timedelta(minutes=5), False, False, AT_ONCE)
@example([("a", 0, 9, 1), ("a", 3, 4, 2)], [("a", 8), ("a", 9)], None, True, True, AT_ONCE)
@example([("a", 1, None, 1)], [("a", 6), ("a", 7)], timedelta(minutes=5), False, False, FIVE_MINUTELY)
@example([("a", 1, 6, 1), ("a", 2, 2, 2)], [("a", 6), ("a", 11)], None, True, True, FIVE_MINUTELY)
def test_each_entity_row_sees_the_newest_known_and_none_is_lost(
    rows: list,
    examples: list,
    ttl: timedelta | None,
    with_created: bool,
    only_known: bool,
    publication: Publication,
) -> None:
    keys, minutes = zip(*examples, strict=True) if examples else ([], [])
    for stored in (rows, rows[::-1]):
        newest = newest_known(
            JoinKeyEncoder([pa.array(keys, pa.string())], len(examples)),
            EntityTimes(moments(list(minutes))),
            features_of(stored, with_created),
            ttl=ttl,
            known_at_the_time=only_known,
            publication=publication,
        ).to_pylist()
        assert len(newest) == len(examples)
        for (key, minute), row in zip(examples, newest, strict=True):
            expected = seen(rows, key, minute, ttl, with_created, only_known, publication)
            assert expected == (None if row is None else (stored[row][1], stored[row][3]))


@settings(max_examples=examples(200), deadline=None)
@given(ROWS, st.booleans())
def test_newest_of_each_key_is_what_a_row_at_the_end_sees(rows: list, with_created: bool) -> None:
    newest = newest_of_each(features_of(rows, with_created)).to_pylist()
    by_key = {rows[row][0]: (rows[row][1], rows[row][3]) for row in newest}
    assert len(by_key) == len(newest)
    expected = {key: seen(rows, key, 99, None, with_created, False) for key in "ab"}
    assert by_key == {key: value for key, value in expected.items() if value is not None}


def test_two_keys_and_none_at_all() -> None:
    times, at = moments([0, 1, 2]), EntityTimes(moments([5, 5]))
    rows = FeatureRows([pa.array([1, 1, 2]), pa.array(["x", "y", "x"])], times, pa.table({"value": [1, 2, 3]}))
    assert newest_known(JoinKeyEncoder([pa.array([1, 2]), pa.array(["x", "y"])], 2), at, rows).to_pylist() == [0, None]
    everything = FeatureRows([], times, pa.table({"value": [1, 2, 3]}))
    assert newest_known(JoinKeyEncoder([], 2), at, everything).to_pylist() == [2, 2]
    assert newest_of_each(everything).to_pylist() == [2]
