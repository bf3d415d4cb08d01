"""A reading is known an hour after its hour began."""

import ibis


def meter_history(readings: ibis.Table) -> ibis.Table:
    known = readings.mutate(event_timestamp=readings.read_at + ibis.interval(hours=1))
    day = ibis.trailing_range_window(
        ibis.interval(hours=23), group_by=[known.site, known.meter], order_by=known.event_timestamp
    )
    return known.select(
        known.site,
        known.meter,
        known.event_timestamp,
        meter_last=known.kwh,
        meter_mean_24h=known.kwh.mean().over(day),
    )


def examples(readings: ibis.Table) -> ibis.Table:
    angle = 2 * ibis.pi * readings.read_at.hour() / 24
    return readings.select(
        readings.site,
        readings.meter,
        readings.read_at,
        event_timestamp=readings.read_at,
        hour_sin=angle.sin(),
        hour_cos=angle.cos(),
        label=readings.kwh,
        label_timestamp=readings.read_at + ibis.interval(hours=1),
    )
