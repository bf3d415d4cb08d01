"""How warm will it be at an airport of New York in an hour, in six, and in a day?"""

from datetime import timedelta

from pydantic import Field

from perennial import (
    Cadence,
    DriftPolicy,
    Examples,
    FeatureTable,
    Gate,
    PredictionInterval,
    RawTable,
    Retraining,
    TrainingParams,
    UseCase,
)


class TemperatureParams(TrainingParams):
    """The estimator's knob."""

    alpha: float = Field(default=10.0, ge=0, le=10_000, description="Strength of the ridge.")


use_case = UseCase(
    name="temperature",
    title="Temperature at three airports",
    description="How warm, in degrees Fahrenheit, will it be at a station in an hour, in six hours and in a day?",
    owner="weather-desk",
    tags=("example",),
    task="regression",
    cadence=Cadence.MONTHLY,
    start="2013-01",
    end="2014-01",
    raw=(RawTable(name="weather", key=("station", "observed_at"), time="observed_at", min_rows=1_000),),
    features=(
        FeatureTable(name="station_now", key=("station",), inputs=("weather",), lookback=timedelta(days=2)),
        FeatureTable(name="station_hour", key=("station", "hour"), inputs=("weather",), lookback=timedelta(days=9)),
    ),
    examples=Examples(
        key=("station", "observed_at", "horizon"),
        inputs=("weather",),
        request_features=("hour", "horizon_hours"),
    ),
    feature_service="temperature",
    params=TemperatureParams,
    # Four of five temperatures are to lie between the bounds; those of a day ahead are wider than those of an hour.
    interval=PredictionInterval(coverage=0.8, by="horizon_hours"),
    gate=Gate(
        metric="rmse",
        holdout=timedelta(days=21),
        # One hour's weather is forecast at three moments: they belong in one block.
        block=timedelta(days=3),
        holdout_share=0.3,
        slices=("horizon",),
        slice_tolerance=0.5,
        # The first model must be better than "it stays as it is".
        baseline="temp_last",
    ),
    drift=DriftPolicy(performance_drop=1.0),
    retraining=Retraining(initial_partitions=4, cooldown=1, max_age=3),
    triage="Open the failed task's log: the error names the table, the field and the fix.",
)
