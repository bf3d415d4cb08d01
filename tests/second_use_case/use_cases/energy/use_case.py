"""How much will a meter read in the next hour? A second use case: a regression, daily, with a key of two columns."""

from datetime import timedelta

from pydantic import Field

from perennial import (
    Ahead,
    Cadence,
    DriftPolicy,
    Examples,
    FeatureTable,
    Gate,
    RawTable,
    Refresh,
    Retraining,
    TrainingParams,
    UseCase,
)

KEY = ("site", "meter", "read_at")


class EnergyParams(TrainingParams):
    alpha: float = Field(default=1.0, ge=0, le=100, description="Strength of the ridge.")


use_case = UseCase(
    name="energy",
    title="Hourly consumption of meters",
    description="How many kWh will a meter read in the hour that begins now?",
    owner="grid-team",
    task="regression",
    cadence=Cadence.DAILY,
    start="2024-01-01",
    end="2024-02-01",
    raw=(RawTable(name="readings", key=KEY, time="read_at", min_rows=100, known_ahead=KEY),),
    features=(
        FeatureTable(
            name="meter_history",
            key=("site", "meter"),
            inputs=("readings",),
            lookback=timedelta(hours=25),
            pushed=True,
        ),
    ),
    examples=Examples(
        key=KEY,
        inputs=("readings",),
        request_features=("hour_sin", "hour_cos"),
        ahead=Ahead(leads=(timedelta(hours=6), timedelta(hours=1)), known=timedelta(days=1)),
    ),
    feature_service="energy",
    params=EnergyParams,
    gate=Gate(
        metric="rmse",
        holdout=timedelta(days=1),
        block=timedelta(hours=2),
        min_rows=50,
        slices=("site",),
        slice_tolerance=1.0,
        slice_min_rows=50,
        refit=False,  # Refits have tests of their own; one version a promotion is told apart.
    ),
    drift=DriftPolicy(performance_drop=0.5, min_rows=50),
    retraining=Retraining(initial_partitions=3, cooldown=1, window=5, schedule="0 6 * * 1"),
    refresh=Refresh(every=timedelta(hours=1), overlap=timedelta(hours=1)),
    triage="Look at the meter's gateway first.",
)
