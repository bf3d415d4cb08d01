"""What was served in a span of time: how much, how fast, how often without a prediction or without features."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import polars as pl

from perennial import lake
from perennial.use_case import UseCase

#: The shortest span that has a rate, in seconds: over a burst it would say how fast one request was answered.
_RATE_SPAN = 60.0
_COLUMNS = ("served_as", "model_version", "answered_at", "error", "missing", "latency_ms")


@dataclass(frozen=True)
class Traffic:
    """What one version served in one way.

    Attributes:
        served_as: `champion`, `canary`, `shadow` or `ahead`.
        model_version: The version.
        predictions: How many rows are recorded, errors included.
        per_second: Of them, between the first and the last; None: less than a minute is between them.
        errors: Share of valid examples that got no prediction.
        incomplete: Share of the predictions from which a feature was missing or expired.
        p50, p95, p99: Milliseconds within which this share was answered; None: nobody waited.
        first, last: When they were answered (UTC).
    """

    served_as: str
    model_version: int | None
    predictions: int
    per_second: float | None
    errors: float
    incomplete: float
    p50: float | None
    p95: float | None
    p99: float | None
    first: datetime
    last: datetime


def since(use_case: UseCase, moment: datetime) -> list[Traffic]:
    """What was answered since a moment, by how it was served and by version, newest first.

    Args:
        use_case: Whose.
        moment: Processing time (UTC).

    Returns:
        None of what is not in the lake yet: records wait up to a minute.

    Raises:
        ServiceUnavailable: the lake does not answer.
    """
    where = lake.not_before("answered_at", moment)
    rows = lake.read(use_case.tables.served_predictions, columns=_COLUMNS, where=where)
    if rows is None or not rows.num_rows:
        return []
    predicted = pl.col("error").is_null()
    latency = pl.col("latency_ms")
    span = (pl.col("answered_at").max() - pl.col("answered_at").min()).dt.total_microseconds() / 1e6
    counted = (
        pl.DataFrame(rows)
        .group_by("served_as", "model_version")
        .agg(
            predictions=pl.len(),
            per_second=pl.when(span >= _RATE_SPAN).then(pl.len() / span),
            errors=(~predicted).mean(),
            incomplete=pl.col("missing").is_not_null().filter(predicted).mean().fill_null(0.0),
            p50=latency.quantile(0.5, "linear"),
            p95=latency.quantile(0.95, "linear"),
            p99=latency.quantile(0.99, "linear"),
            first=pl.col("answered_at").min(),
            last=pl.col("answered_at").max(),
        )
        .sort("served_as", pl.col("model_version").neg())
    )
    made = [Traffic(**row) for row in counted.to_dicts()]
    return sorted(made, key=lambda each: each.served_as != "champion")
