"""When a row is published: on a grid, never before it is known, alike for one moment and for columns of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pyarrow as pa
import pytest
from examples import examples
from feast.data_source import DataSource
from hypothesis import example, given, settings
from hypothesis import strategies as st

from perennial.errors import BadFeatures
from perennial.feature_store.publication import AT_ONCE, LONGEST, Publication
from perennial.feature_store.source import LakeSource

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FIRST, LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
CADENCES = st.one_of(st.none(), st.timedeltas(timedelta(microseconds=1), LONGEST))
LAGS = st.one_of(st.just(timedelta(0)), st.timedeltas(timedelta(0), LONGEST))
PUBLICATIONS = st.builds(Publication, CADENCES, LAGS)
MOMENTS = st.datetimes(timezones=st.just(UTC))
#: What nanoseconds since 1970 can say.
NEAR = st.datetimes(datetime(1680, 1, 1), datetime(2260, 1, 1), timezones=st.just(UTC))
HOURLY = Publication(timedelta(hours=1), timedelta(minutes=5))


@pytest.mark.parametrize(
    ("known", "published"),
    [
        (datetime(2013, 5, 1, 9, 59, 59, 999999, tzinfo=UTC), datetime(2013, 5, 1, 10, 5, tzinfo=UTC)),
        (datetime(2013, 5, 1, 10, 0, tzinfo=UTC), datetime(2013, 5, 1, 11, 5, tzinfo=UTC)),
        (datetime(2013, 5, 1, 10, 59), datetime(2013, 5, 1, 11, 5, tzinfo=UTC)),
        (datetime(1969, 12, 31, 23, 30, tzinfo=UTC), datetime(1970, 1, 1, 0, 5, tzinfo=UTC)),
        (FIRST, FIRST + timedelta(minutes=65)),
        (LAST - timedelta(minutes=1), LAST),
        (LAST, LAST),
    ],
)
def test_hourly_rows_come_with_the_next_full_hour(known: datetime, published: datetime) -> None:
    assert HOURLY.of(known) == published


@settings(max_examples=examples(300), deadline=None)
@given(PUBLICATIONS, MOMENTS)
def test_no_row_is_published_before_it_is_known(publication: Publication, known: datetime) -> None:
    published = publication.of(known)
    assert published >= known
    longest = (publication.every or timedelta(0)) + publication.after
    assert published == LAST or published - known <= longest


@settings(max_examples=examples(300), deadline=None)
@given(PUBLICATIONS, MOMENTS, MOMENTS)
def test_what_is_known_earlier_is_not_published_later(publication: Publication, one: datetime, other: datetime) -> None:
    assert publication.of(min(one, other)) <= publication.of(max(one, other))


@settings(max_examples=examples(300), deadline=None)
@given(st.builds(Publication, st.timedeltas(timedelta(microseconds=1), LONGEST)), MOMENTS)
def test_ticks_are_a_grid_since_1970(publication: Publication, known: datetime) -> None:
    published = publication.of(known)
    if published != LAST:
        assert published > known
        assert (published - EPOCH) % publication.every == timedelta(0)
        assert publication.of(published - timedelta(microseconds=1)) == published


@settings(max_examples=examples(200), deadline=None)
@given(PUBLICATIONS, st.lists(st.one_of(st.none(), MOMENTS), max_size=8))
@example(HOURLY, [FIRST, LAST, None])
def test_a_column_is_published_as_its_moments_are(publication: Publication, known: list[datetime | None]) -> None:
    times = pa.array(known, pa.timestamp("us", "UTC"))
    published = publication.times(times)
    assert published.type == times.type
    assert published.to_pylist() == [None if moment is None else publication.of(moment) for moment in known]


@settings(max_examples=examples(200), deadline=None)
@given(PUBLICATIONS, st.lists(NEAR, max_size=8))
def test_nanoseconds_are_published_as_microseconds_are(publication: Publication, known: list[datetime]) -> None:
    fine = publication.times(pa.array(known, pa.timestamp("us", "UTC")).cast(pa.timestamp("ns", "UTC")))
    latest = pa.scalar(2**63 - 1, pa.timestamp("ns", "UTC"))
    for moment, published in zip(known, fine, strict=True):
        expected = pa.scalar(publication.of(moment), pa.timestamp("us", "UTC"))
        # What is later than nanoseconds reach is the last of them.
        if published != latest:
            assert published.cast(pa.timestamp("us", "UTC")) == expected
        else:
            assert expected.as_py() > datetime(2241, 1, 1, tzinfo=UTC)


def test_a_moment_of_another_time_zone_is_the_same_moment() -> None:
    known = datetime(2013, 5, 1, 10, 30, tzinfo=UTC)
    for hours in (-12, 3, 14):
        assert HOURLY.of(known.astimezone(timezone(timedelta(hours=hours)))) == HOURLY.of(known)


@given(MOMENTS)
def test_without_a_declaration_rows_are_published_at_once(known: datetime) -> None:
    assert AT_ONCE.is_at_once
    assert AT_ONCE.of(known) == known


@settings(max_examples=examples(100), deadline=None)
@given(PUBLICATIONS)
def test_a_registry_returns_the_declaration_it_was_given(publication: Publication) -> None:
    declared = LakeSource(table="u.t", published_every=publication.every, published_after=publication.after)
    read = DataSource.from_proto(declared.to_proto())
    assert isinstance(read, LakeSource)
    assert read.publication == publication
    assert read == declared


def test_a_source_with_another_publication_is_another_source() -> None:
    plain = LakeSource(table="u.t")
    assert plain != LakeSource(table="u.t", published_every=timedelta(hours=1))
    assert plain != LakeSource(table="u.t", published_after=timedelta(hours=1))
    assert plain.to_proto().custom_options.configuration == b'{"table": "u.t"}'


@pytest.mark.parametrize(
    ("declaration", "message"),
    [
        ({"published_every": 3600}, "published_every=3600, which is no duration"),
        ({"published_every": timedelta(0)}, "published_every=.*out of range"),
        ({"published_every": timedelta(days=9999)}, "published_every=.*out of range"),
        ({"published_after": timedelta(seconds=-1)}, "published_after=.*out of range"),
        ({"published_after": None}, "published_after=None, which is no duration"),
    ],
)
def test_a_cadence_or_lag_that_is_none_is_rejected(declaration: dict, message: str) -> None:
    with pytest.raises(BadFeatures, match=message) as error:
        LakeSource(table="sales.history", **declaration)
    assert "feature_repo/sales.py" in error.value.problem


@pytest.mark.parametrize(
    ("publication", "sentence"),
    [
        (AT_ONCE, "at once"),
        (HOURLY, "every 1 hour, 5 minutes later"),
        (Publication(timedelta(minutes=90)), "every 90 minutes"),
        (Publication(after=timedelta(days=2)), "2 days later"),
        (Publication(timedelta(seconds=1.5)), "every 1.5 seconds"),
    ],
)
def test_a_publication_in_words(publication: Publication, sentence: str) -> None:
    assert str(publication) == sentence
