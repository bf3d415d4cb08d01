"""Which partitions a range of dates names. The runs themselves are made on real Airflow, in `end_to_end/`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.errors import InvalidPartition
from perennial.feature_changes import backfill
from perennial.partitions import Cadence, Partition

MOMENTS = st.datetimes(datetime(2012, 1, 1), datetime(2014, 1, 1), timezones=st.just(UTC))
FORMATS = ("%Y-%m", "%Y-%m-%d", "%Y-%m-%dT%H")


def some(cadence: Cadence, start: datetime, count: int) -> list[Partition]:
    partitions = [cadence.at(start)]
    while len(partitions) < count:
        partitions.append(partitions[-1].next)
    return partitions


@given(
    cadence=st.sampled_from(Cadence),
    start=MOMENTS,
    count=st.integers(1, 40),
    moment=MOMENTS,
    form=st.sampled_from(FORMATS),
)
def test_a_period_names_the_partitions_that_touch_it(
    cadence: Cadence, start: datetime, count: int, moment: datetime, form: str
) -> None:
    partitions = some(cadence, start, count)
    text = moment.strftime(form)
    begin, end = backfill.parse_period(text)
    assert begin <= moment < end
    selected = backfill.partitions_between(partitions, text, text)
    instants = {partition: max(partition.start, begin) for partition in partitions}
    assert selected == [p for p, instant in instants.items() if p.start <= instant < p.end and begin <= instant < end]


@given(cadence=st.sampled_from(Cadence), start=MOMENTS, count=st.integers(1, 40), cut=MOMENTS)
def test_up_to_a_day_and_from_the_next_on_is_everything(
    cadence: Cadence, start: datetime, count: int, cut: datetime
) -> None:
    partitions = some(cadence, start, count)
    last, following = (day.strftime("%Y-%m-%d") for day in (cut, cut + timedelta(days=1)))
    before, after = (
        backfill.partitions_between(partitions, None, last),
        backfill.partitions_between(partitions, following, None),
    )
    assert [*before, *(partition for partition in after if partition not in before)] == partitions


@given(cadence=st.sampled_from(Cadence), start=MOMENTS)
def test_the_name_of_a_partition_names_it(cadence: Cadence, start: datetime) -> None:
    partitions = some(cadence, start, 3)
    selected = backfill.partitions_between(partitions, partitions[1].key, partitions[1].key)
    assert selected == [partitions[1]]


@pytest.mark.parametrize("text", ["2013", "2013-13", "2013-02-30", "last week", "2013-1-1x", ""])
def test_what_is_no_date_is_an_error(text: str) -> None:
    with pytest.raises(InvalidPartition, match="is not a month"):
        backfill.parse_period(text)


def test_the_wrong_way_round_is_an_error() -> None:
    with pytest.raises(InvalidPartition, match="Swap them"):
        backfill.partitions_between([], "2013-03", "2013-02")
