"""An observation is known an hour later. A temperature is forecast at three horizons before its own hour."""

from datetime import timedelta

import ibis

from perennial.transforms import at_horizons, known_after, rolling_means

HOUR = timedelta(hours=1)
HORIZONS = {"1h": HOUR, "6h": timedelta(hours=6), "24h": timedelta(hours=24)}


def station_now(weather: ibis.Table) -> ibis.Table:
    """The newest observation, and means of a day."""
    spans = {"last": timedelta(0), "mean_24h": timedelta(hours=23)}
    values = {name: weather[name] for name in ("temp", "dewp", "humid", "pressure")}
    return rolling_means(weather, "station", known_after(weather.observed_at, HOUR), spans, values)


def station_hour(weather: ibis.Table) -> ibis.Table:
    """The same hour of the day: the last time, and over a week."""
    rows = weather.mutate(hour=weather.observed_at.hour().cast("int64"))
    spans = {"same_hour_last": timedelta(0), "same_hour_mean_7d": timedelta(days=6)}
    return rolling_means(rows, ("station", "hour"), known_after(rows.observed_at, HOUR), spans, {"temp": rows.temp})


def examples(weather: ibis.Table) -> ibis.Table:
    """Each hour once for each horizon: predicted so long before it, known an hour after it began."""
    rows = at_horizons(weather, weather.observed_at, HORIZONS)
    return rows.select(
        *("station", "observed_at", "horizon", "horizon_hours", "event_timestamp"),
        hour=rows.observed_at.hour().cast("int64"),
        label=rows.temp,
        label_timestamp=known_after(rows.observed_at, HOUR),
    )
