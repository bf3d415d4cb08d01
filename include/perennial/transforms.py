"""Causal features in a line: ibis expressions that know only what was known at their moment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

import ibis

_MICROSECOND = timedelta(microseconds=1)


def known_after(moment: ibis.Value, delay: timedelta) -> ibis.Value:
    """The `event_timestamp` of values that become known so long after their own moment.

    Args:
        moment: What the values are about: the hour of a reading, the day of a sale (UTC).
        delay: How long after it they are known at the earliest.
    """
    return moment.cast("timestamp('UTC')") + ibis.literal(delay)


def at_horizons(rows: ibis.Table, moment: ibis.Value | str, horizons: Mapping[str, timedelta]) -> ibis.Table:
    """Every row once for each horizon: what is forecast of its moment so long before it.

    Of a forecast the moment of prediction is the horizon before what it is about, and only what was known then may be
    seen: as the `event_timestamp` of an example it lets the feature store see to that.

    Args:
        rows: What is forecast, one row each: an hour of a meter, a day of a shop.
        moment: What a row is about, the hour or day itself (UTC).
        horizons: Name -> how long before that moment it is forecast.

    Returns:
        The rows with `horizon` (the name), `horizon_hours` (float) and `event_timestamp` (us UTC): with m horizons,
        m times as many.

    Raises:
        ValueError: there is no horizon, or one that does not lie before the moment.
    """
    if not horizons or min(horizons.values()) <= timedelta(0):
        raise ValueError(f"horizons {dict(horizons)} must be at least one, and each longer than 0")
    about = (rows[moment] if isinstance(moment, str) else moment).cast("timestamp('UTC')")
    return ibis.union(
        *(
            rows.mutate(
                horizon=ibis.literal(name),
                horizon_hours=ibis.literal(length / timedelta(hours=1), "float64"),
                event_timestamp=about - ibis.literal(length),
            )
            for name, length in horizons.items()
        )
    )


def rolling_means(
    rows: ibis.Table,
    by: str | Sequence[str],
    known_at: ibis.Value | str,
    spans: Mapping[str, timedelta],
    values: Mapping[str, ibis.Value],
) -> ibis.Table:
    """Causal rolling means: of each key, over what became known in a span of time that ends at each of its moments.

    One row for each key and moment at which something became known, with `event_timestamp` (us UTC) and for each value
    and span the feature `<value>_<span>`: the mean of the value over the rows of the key that became known at most the
    span before the moment, and not after it; both ends are included. Missing values are not counted; where there are no
    others the mean is missing. Rows without a key or without a moment are left out.

    Means of whole numbers are exact, whatever the order of the rows.

    Args:
        rows: What happened, one row each.
        by: Columns of the key.
        known_at: When a row became known; not when it happened.
        spans: Suffix of the features' names -> how far they look back. Of no length: the moment alone.
        values: Prefix of the features' names -> what each row contributes: a number, or for a share a truth value
            such as `rows.delay >= 15`.
    """
    keys = [by] if isinstance(by, str) else list(by)
    moment = (rows[known_at] if isinstance(known_at, str) else known_at).cast("timestamp('UTC')")
    numbers = {name: value.cast("int64") if value.type().is_boolean() else value for name, value in values.items()}
    rows = rows.select(*keys, event_timestamp=moment, **{f"value_{name}": each for name, each in numbers.items()})
    # Everything of one moment is known together: summed up first, it is one row, and the windows are shorter.
    moments = (
        rows.drop_null([*keys, "event_timestamp"])
        .group_by([*keys, "event_timestamp"])
        .agg(
            **{f"sum_{name}": rows[f"value_{name}"].sum() for name in values},
            **{f"count_{name}": rows[f"value_{name}"].count() for name in values},
        )
    )
    features = {}
    for span, length in spans.items():
        window = _window(moments, keys, length)
        for name in values:
            total, count = moments[f"sum_{name}"].sum().over(window), moments[f"count_{name}"].sum().over(window)
            features[f"{name}_{span}"] = total / count
    return moments.select(*keys, "event_timestamp", **features)


def _window(moments: ibis.Table, keys: Sequence[str], length: timedelta) -> ibis.expr.builders.WindowBuilder:
    """The moments of a key in the span up to and including each, over whole microseconds.

    Of integers DuckDB makes ranges twice as fast as of timestamps, whose arithmetic follows the session's time zone.
    """
    epoch = ibis.literal("1970-01-01T00:00:00+00:00").cast("timestamp('UTC')")
    return ibis.range_window(
        preceding=length // _MICROSECOND,
        following=0,
        group_by=[moments[key] for key in keys],
        order_by=moments.event_timestamp.delta(epoch, unit="microsecond"),
    )
