"""Feature tables and examples of the flights use case: ibis expressions over the raw tables.

Every row says in `event_timestamp` (us UTC) when its values became known, and each value comes only from what was known
by then. A late arrival counts from the moment the flight has landed, never from its departure: at noon nobody knows yet
that the flight that left at eleven will come in late. A late departure counts from the moment the flight has left.
"""

from __future__ import annotations

from datetime import timedelta

import ibis

#: A flight is late from this many minutes on: the industry's own definition.
LATE_MINUTES = 15

#: A delay counts for at most this many minutes in a mean.
LONGEST_DELAY = 180

#: How long before its scheduled departure a flight is predicted.
NOTICE = timedelta(hours=1)

#: An hourly weather report is published within this time.
PUBLICATION = timedelta(hours=1)


def origin_weather(weather: ibis.Table) -> ibis.Table:
    """Weather at an origin. A report for an hour is known one hour later at the earliest, and only used from then."""
    measures = ("temp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib")
    return weather.select(
        "origin",
        event_timestamp=weather.observed_at + ibis.literal(PUBLICATION),
        **{f"weather_{name}": weather[name].cast("float64") for name in measures},
    )


def carrier_lateness(flights: ibis.Table) -> ibis.Table:
    """How late a carrier's flights have been arriving over the last day and week."""
    return _lateness(flights, "carrier", "carrier", "arr", {"1d": 24, "7d": 7 * 24})


def origin_lateness(flights: ibis.Table) -> ibis.Table:
    """How late flights out of an origin have been arriving over the last three hours and day."""
    return _lateness(flights, "origin", "origin", "arr", {"3h": 3, "1d": 24})


def origin_departures(flights: ibis.Table) -> ibis.Table:
    """How late flights have been leaving an origin over the last two hours: hours ahead of their late arrivals."""
    return _lateness(flights, "origin", "departures", "dep", {"2h": 2})


def route_lateness(flights: ibis.Table) -> ibis.Table:
    """How late flights on a route have been arriving over the last week and four weeks."""
    return _lateness(flights, "route", "route", "arr", {"7d": 7 * 24, "28d": 28 * 24})


def plane_facts(planes: ibis.Table) -> ibis.Table:
    """What is known of a plane when the partition starts."""
    return planes.select(
        "tailnum",
        event_timestamp=planes.known_at,
        plane_year=planes.year.cast("int64"),
        plane_seats=planes.seats.cast("int64"),
        plane_engines=planes.engines.cast("int64"),
    )


def examples(flights: ibis.Table) -> ibis.Table:
    """One row a flight: what is asked one hour before its scheduled departure, and what came of it.

    `label` is 1 when the flight arrived 15 minutes late or more, 0 when it did not, null when it was cancelled or
    diverted; `label_timestamp` is when it landed. Nothing else here is learnt after `event_timestamp`.
    """
    return flights.select(
        "flight_id",
        "carrier",
        "origin",
        "dest",
        "route",
        "tailnum",
        "hour",
        "weekday",
        "distance",
        event_timestamp=flights.sched_dep - ibis.literal(NOTICE),
        label=(flights.arr_delay >= LATE_MINUTES).cast("int64"),
        label_timestamp=flights.arrived_at,
    )


def _lateness(flights: ibis.Table, key: str, prefix: str, end: str, spans: dict[str, int]) -> ibis.Table:
    """Share of late flights and mean delay (minutes) of each `key` over trailing spans (hours), as flights come in.

    One row a (key, minute in which a flight arrived or left): all of that minute, and of the span before it, are in.

    Args:
        key: What to group by.
        prefix: Of the features' names.
        end: `arr` or `dep`: which end of a flight is looked at.
        spans: Name in the features' names -> hours.
    """
    moment, delay = {"arr": ("arrived_at", "arr_delay"), "dep": ("departed_at", "dep_delay")}[end]
    seen = flights.filter(flights[moment].notnull(), flights[key].notnull())
    minutes = seen.group_by(seen[key], event_timestamp=seen[moment]).agg(
        flights=seen.count(),
        late=(seen[delay] >= LATE_MINUTES).cast("int64").sum(),
        # Capped, so that one flight that came a day late does not colour a whole week.
        delay=seen[delay].clip(upper=LONGEST_DELAY).sum(),
    )
    features = {}
    for span, hours in spans.items():
        # Over whole seconds: ten times faster than over timestamps, whose arithmetic follows the session's time zone.
        window = ibis.range_window(
            preceding=hours * 3600, following=0, group_by=minutes[key], order_by=minutes.event_timestamp.epoch_seconds()
        )
        count = minutes.flights.sum().over(window)
        features[f"{prefix}_late_rate_{span}"] = minutes.late.sum().over(window) / count
        features[f"{prefix}_mean_delay_{span}"] = minutes.delay.sum().over(window) / count
    return minutes.select(key, "event_timestamp", **features)
