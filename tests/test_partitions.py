"""Partitions are half-open, contiguous, in UTC, and named by their start."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial import Cadence
from perennial.errors import InvalidPartition

cadences = st.sampled_from(list(Cadence))
moments = st.datetimes(datetime(1971, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))


@given(cadences, moments)
def test_every_moment_is_in_exactly_the_partition_that_claims_it(cadence: Cadence, moment: datetime) -> None:
    partition = cadence.at(moment)
    assert partition.start <= moment < partition.end
    assert partition.next.start == partition.end
    assert partition.previous.end == partition.start


@given(cadences, moments, st.integers(0, 5), st.integers(0, 5))
def test_partitions_right_before_one_end_where_it_begins(cadence, moment, many: int, expected: int) -> None:
    partition = first = cadence.at(moment)
    for _ in range(expected):
        first = first.previous
    preceding = partition.preceding(many, first)
    assert len(preceding) == min(many, expected)
    assert [*preceding, partition] == list(min([*preceding, partition]).through(partition))


@given(cadences, moments)
def test_a_name_leads_back_to_its_partition(cadence: Cadence, moment: datetime) -> None:
    partition = cadence.at(moment)
    assert cadence.partition(partition.key) == partition


@given(cadences, moments, moments)
def test_names_sort_like_time(cadence: Cadence, one: datetime, other: datetime) -> None:
    first, second = cadence.at(one), cadence.at(other)
    assert (first < second) == (first.key < second.key)


def test_boundaries_are_utc_whatever_the_moments_zone() -> None:
    evening_in_new_york = datetime(2013, 3, 31, 22, tzinfo=timezone(timedelta(hours=-4)))
    assert Cadence.MONTHLY.at(evening_in_new_york).key == "2013-04"


def test_a_naive_moment_is_refused() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        Cadence.DAILY.at(datetime(2013, 1, 1))


@pytest.mark.parametrize("key", ["2013", "2013-13", "march", "", "0001-01-01T00:00+14:00", None])
def test_a_malformed_name_is_refused_with_an_example(key: str) -> None:
    with pytest.raises(InvalidPartition, match="Use a name like '2013-03'"):
        Cadence.MONTHLY.partition(key)


@given(moments, st.sampled_from(Cadence), st.sampled_from(Cadence))
def test_a_time_in_another_notation_names_its_partition(moment: datetime, cadence: Cadence, given_as: Cadence) -> None:
    named = given_as.at(moment)
    meant = cadence.at(named.start).key
    if named.key == meant:
        assert cadence.partition(named.key).key == meant
    else:
        with pytest.raises(InvalidPartition, match=f"Did you mean '{meant}'"):
            cadence.partition(named.key)


@pytest.mark.parametrize(
    "key", ["2013-3", "2013-03-01", "201303", "20130301", "2013-03-01 07:30", "2013-03-01T07:30:00Z"]
)
def test_a_month_written_otherwise_is_understood_but_not_taken(key: str) -> None:
    with pytest.raises(InvalidPartition, match="Did you mean '2013-03'"):
        Cadence.MONTHLY.partition(key)


def test_a_week_is_named_by_its_monday_only() -> None:
    assert Cadence.WEEKLY.partition("2013-03-04").end == datetime(2013, 3, 11, tzinfo=UTC)
    with pytest.raises(InvalidPartition):
        Cadence.WEEKLY.partition("2013-03-05")


def test_through_includes_both_ends() -> None:
    keys = [p.key for p in Cadence.MONTHLY.partition("2013-11").through(Cadence.MONTHLY.partition("2014-01"))]
    assert keys == ["2013-11", "2013-12", "2014-01"]


@given(cadences, moments)
def test_polars_cuts_time_at_the_same_moments(cadence: Cadence, moment: datetime) -> None:
    assert pl.Series([moment]).dt.truncate(cadence.every)[0] == cadence.floor(moment)


@given(cadences, moments, st.floats(0, 1), st.floats(0, 1))
def test_an_open_partition_is_the_same_of_which_a_part_is_read(cadence, moment, one: float, other: float) -> None:
    partition = cadence.at(moment)
    since, until = sorted(partition.start + share * (partition.end - partition.start) for share in (one, other))
    opened = partition.opened(since, until)
    assert (opened.since, opened.until, opened.is_open) == (since, until, True)
    assert (opened.key, opened.start, opened.end) == (partition.key, partition.start, partition.end)
    assert opened == partition
    assert (partition.since, partition.until, partition.is_open) == (partition.start, partition.end, False)
    assert not opened.next.is_open


def test_a_part_lies_within_its_partition() -> None:
    day = Cadence.DAILY.partition("2024-01-02")
    with pytest.raises(ValueError, match="not a part"):
        day.opened(day.start, day.end + timedelta(seconds=1))
