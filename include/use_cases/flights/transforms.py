"""Feature tables and examples of the flights use case: ibis expressions over the raw tables.

Every row says in `event_timestamp` (us UTC) when its values became known, and each value comes only from what was known
by then. A delay counts from the moment the flight has landed, or left, and not from its schedule: at noon nobody knows
yet that the flight that left at eleven will come in late.
"""

from datetime import timedelta
from functools import partial

import ibis

from perennial.transforms import known_after, rolling_means

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
#: A flight is late from 15 minutes on, the industry's own definition. In a mean a delay counts for 180 at most, so that
#: one flight that came a day late does not color a whole week.
LATE_MINUTES, LONGEST_DELAY = 15, 180


def origin_weather(weather: ibis.Table) -> ibis.Table:
    """Weather at an origin. A report for an hour is published within the next one, and only used from then."""
    measures = ("temp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib")
    values = {f"weather_{name}": weather[name].cast("float64") for name in measures}
    return weather.select("origin", event_timestamp=known_after(weather.observed_at, HOUR), **values)


def _lateness(flights: ibis.Table, by: str, spans: dict[str, timedelta], end: str = "arr") -> ibis.Table:
    """Share of late flights, and their mean delay in minutes, as flights come in (`arr`) or leave (`dep`)."""
    known_at, name = {"arr": ("arrived_at", by), "dep": ("departed_at", "departures")}[end]
    delay = flights[f"{end}_delay"]
    values = {f"{name}_late_rate": delay >= LATE_MINUTES, f"{name}_mean_delay": delay.clip(upper=LONGEST_DELAY)}
    return rolling_means(flights, by, known_at, spans, values)


carrier_lateness = partial(_lateness, by="carrier", spans={"1d": DAY, "7d": 7 * DAY})
origin_lateness = partial(_lateness, by="origin", spans={"3h": 3 * HOUR, "1d": DAY})
route_lateness = partial(_lateness, by="route", spans={"7d": 7 * DAY, "28d": 28 * DAY})
#: Known hours ahead of the late arrivals that follow.
origin_departures = partial(_lateness, by="origin", spans={"2h": 2 * HOUR}, end="dep")


def plane_facts(planes: ibis.Table) -> ibis.Table:
    """What is known of a plane when the partition starts."""
    facts = {f"plane_{name}": planes[name].cast("int64") for name in ("year", "seats", "engines")}
    return planes.select("tailnum", event_timestamp=planes.known_at, **facts)


def examples(flights: ibis.Table) -> ibis.Table:
    """One row a flight: what is asked one hour before its scheduled departure, and what came of it.

    `label` is 1 when the flight arrived 15 minutes late or more, 0 when it did not, null when it was cancelled or
    diverted; `label_timestamp` is when it landed. Nothing else here is learnt after `event_timestamp`.
    """
    return flights.select(
        *("flight_id", "carrier", "origin", "dest", "route", "tailnum", "hour", "weekday", "distance"),
        event_timestamp=flights.sched_dep - ibis.literal(HOUR),
        label=(flights.arr_delay >= LATE_MINUTES).cast("int64"),
        label_timestamp=flights.arrived_at,
    )
