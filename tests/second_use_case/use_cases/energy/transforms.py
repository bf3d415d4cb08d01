"""A reading is known an hour after its hour began."""

from datetime import timedelta

import ibis

from perennial.transforms import known_after, rolling_means

HOUR = timedelta(hours=1)


def meter_history(readings: ibis.Table) -> ibis.Table:
    spans = {"last": timedelta(0), "mean_24h": timedelta(hours=23)}  # An hour and the 23 before it.
    known_at = known_after(readings.read_at, HOUR)
    return rolling_means(readings, ("site", "meter"), known_at, spans, {"meter": readings.kwh})


def examples(readings: ibis.Table) -> ibis.Table:
    angle = 2 * ibis.pi * readings.read_at.hour() / 24
    return readings.select(
        *("site", "meter", "read_at"),
        event_timestamp=readings.read_at,
        hour_sin=angle.sin(),
        hour_cos=angle.cos(),
        label=readings.kwh,
        label_timestamp=known_after(readings.read_at, HOUR),
    )
