"""Features know only what was known: each is held against a slow, plain recomputation from its definition."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import ibis
import polars as pl
import pyarrow as pa
import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial import Partition, UseCase, testing
from use_cases.flights import source, transforms

Compute = Callable[[ibis.Table], pl.DataFrame]

LATENESS = {
    "carrier_lateness": ("carrier", "carrier", "arrived_at", "arr_delay", {"1d": 24, "7d": 168}),
    "origin_lateness": ("origin", "origin", "arrived_at", "arr_delay", {"3h": 3, "1d": 24}),
    "origin_departures": ("origin", "departures", "departed_at", "dep_delay", {"2h": 2}),
    "route_lateness": ("route", "route", "arrived_at", "arr_delay", {"7d": 168, "28d": 672}),
}


def naively(rows: pl.DataFrame, key: str, value: str, moment: str, at: datetime, hours: int) -> pl.DataFrame:
    """The flights that count at `at`: those that came in no later, and at most `hours` before."""
    since = at - timedelta(hours=hours)
    return rows.filter((pl.col(key) == value) & pl.col(moment).is_between(since, at, closed="both"))


@pytest.mark.parametrize("name", LATENESS)
def test_lateness_is_what_its_definition_says(computed: Compute, name: str, january_flights: pa.Table) -> None:
    key, prefix, moment, delay, spans = LATENESS[name]
    rows = pl.DataFrame(january_flights)
    features = computed(getattr(transforms, name)(ibis.memtable(january_flights)))
    for row in features.sort(key, "event_timestamp").sample(25, seed=1).iter_rows(named=True):
        for span, hours in spans.items():
            seen = naively(rows, key, row[key], moment, row["event_timestamp"], hours)
            assert row[f"{prefix}_late_rate_{span}"] == pytest.approx((seen[delay] >= 15).mean())
            assert row[f"{prefix}_mean_delay_{span}"] == pytest.approx(seen[delay].clip(upper_bound=180).mean())


@pytest.mark.parametrize("name", LATENESS)
def test_keys_and_times_are_unique_and_values_present(computed: Compute, name: str, january_flights: pa.Table) -> None:
    features = computed(getattr(transforms, name)(ibis.memtable(january_flights)))
    assert not features.select(LATENESS[name][0], "event_timestamp").is_duplicated().any()
    assert features.null_count().row(0) == (0,) * features.width
    assert features.schema["event_timestamp"] == pl.Datetime("us", "UTC")


@pytest.mark.parametrize("name", LATENESS)
def test_the_future_changes_nothing(computed: Compute, name: str, january_flights: pa.Table) -> None:
    """Flights that had not come in yet may have been any number of minutes late: features do not notice."""
    _, _, moment, delay, _ = LATENESS[name]
    now = datetime.fromisoformat("2013-01-20T12:00:00+00:00")
    rows = pl.DataFrame(january_flights)
    later = pl.col(moment) > now
    other = rows.with_columns(pl.when(later).then(pl.lit(999)).otherwise(delay).alias(delay)).to_arrow()
    before, after = (
        computed(getattr(transforms, name)(ibis.memtable(table)))
        .filter(pl.col("event_timestamp") <= now)
        .sort(pl.all())
        for table in (january_flights, other)
    )
    assert before.height > 1_000
    assert before.equals(after)


def test_the_declared_lookback_is_long_enough(
    computed: Compute,
    flights: UseCase,
    february: Partition,
    january_flights: pa.Table,
    february_flights: pa.Table,
) -> None:
    """A partition computed with the lookback alone equals one computed with everything before."""
    everything = pa.concat_tables([january_flights, february_flights])
    for table in flights.features:
        if table.inputs != ("flights",):
            continue
        function = getattr(transforms, table.name)
        near = pl.DataFrame(everything).filter(pl.col("sched_dep") >= february.start - table.lookback).to_arrow()
        whole, cut = (
            computed(function(ibis.memtable(rows)))
            .filter(pl.col("event_timestamp").is_between(february.start, february.end, closed="left"))
            .sort(pl.all())
            for rows in (everything, near)
        )
        assert whole.equals(cut), table.name


def test_weather_is_used_an_hour_after_it_was_observed(computed: Compute, february: Partition) -> None:
    raw = source.weather(february)
    features = computed(transforms.origin_weather(ibis.memtable(raw))).sort("origin", "event_timestamp")
    rows = pl.DataFrame(raw).sort("origin", "observed_at")
    assert (features["event_timestamp"] - rows["observed_at"]).unique().to_list() == [timedelta(hours=1)]
    assert features["weather_temp"].to_list() == rows["temp"].to_list()


def test_examples_tell_nothing_of_what_is_to_come(computed: Compute, february_flights: pa.Table) -> None:
    rows = computed(transforms.examples(ibis.memtable(february_flights))).sort("flight_id")
    flown = pl.DataFrame(february_flights).sort("flight_id")
    assert rows.height == flown.height
    assert (flown["sched_dep"] - rows["event_timestamp"]).unique().to_list() == [timedelta(hours=1)]
    assert rows["label"].to_list() == (flown["arr_delay"] >= 15).cast(pl.Int64).to_list()
    assert (rows["label"].is_null() == (flown["cancelled"] | flown["diverted"])).all()
    assert set(rows.columns) == {
        *("flight_id", "carrier", "origin", "dest", "route", "tailnum", "hour", "weekday", "distance"),
        *("event_timestamp", "label", "label_timestamp"),
    }


flight = st.tuples(st.sampled_from("AB"), st.integers(0, 400), st.one_of(st.none(), st.integers(-60, 300)))


@settings(max_examples=examples(25), deadline=None)
@given(st.lists(flight, min_size=1, max_size=30))
def test_any_flights_give_causal_rates(computed: Compute, rows: list[tuple[str, int, int | None]]) -> None:
    start = datetime.fromisoformat("2013-01-01T00:00:00+00:00")
    table = pl.DataFrame(
        {
            "carrier": [carrier for carrier, _, _ in rows],
            "arr_delay": [delay for _, _, delay in rows],
            "arrived_at": [None if d is None else start + timedelta(minutes=15 * due + d) for _, due, d in rows],
        },
        schema={"carrier": pl.String, "arr_delay": pl.Int64, "arrived_at": pl.Datetime("us", "UTC")},
    )
    features = computed(transforms.carrier_lateness(ibis.memtable(table.to_arrow())))
    assert features.height == table.drop_nulls().select("carrier", "arrived_at").n_unique()
    for row in features.iter_rows(named=True):
        seen = naively(table, "carrier", row["carrier"], "arrived_at", row["event_timestamp"], 24)
        assert row["carrier_late_rate_1d"] == pytest.approx((seen["arr_delay"] >= 15).mean())


def test_examples_are_known_before_any_outcome(computed: Compute, flights: UseCase, february_flights: pa.Table) -> None:
    """What a schedule says of a flight is all that is asked about it: nothing of its example is learnt later."""
    known = testing.without_outcome(flights, "flights", february_flights)
    early, whole = (computed(transforms.examples(ibis.memtable(rows))) for rows in (known, february_flights))
    outcome = ["label", "label_timestamp"]
    assert early.drop(outcome).equals(whole.drop(outcome))
    assert early["label"].null_count() == early.height > whole["label"].null_count()


def test_a_schedule_holds_no_outcome(flights: UseCase) -> None:
    known = set(flights.raw_table("flights").known_ahead)
    assert known.isdisjoint(source.OUTCOME)
    assert known.isdisjoint({"departed_at", "arrived_at", "cancelled", "diverted"})
