"""Will a flight out of New York arrive 15 minutes late or more?"""

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
    Retraining,
    TrainingParams,
    UseCase,
)

#: Of a flight, what its schedule says; that it was cancelled, or how long it was in the air, is known later.
SCHEDULE = (
    *("flight_id", "sched_dep", "sched_arr", "carrier", "flight", "tailnum"),
    *("origin", "dest", "route", "hour", "weekday", "distance"),
)


class FlightsParams(TrainingParams):
    """The estimator's knobs; each appears in the trigger form of `flights.training`."""

    max_iter: int = Field(default=100, ge=10, le=1000, description="Boosting iterations.")
    learning_rate: float = Field(default=0.07, gt=0, le=1, description="Shrinkage of each iteration.")
    max_leaf_nodes: int = Field(default=20, ge=2, le=255, description="Leaves of one tree.")


use_case = UseCase(
    name="flights",
    title="Late arrivals out of New York",
    description="Will this flight arrive 15 minutes late or more? Asked one hour before its scheduled departure.",
    owner="flight-operations",
    tags=("example",),
    task="binary",
    cadence=Cadence.MONTHLY,
    start="2013-01",
    end="2014-01",
    raw=(
        RawTable(name="flights", key=("flight_id",), time="sched_dep", min_rows=15_000, known_ahead=SCHEDULE),
        RawTable(name="weather", key=("origin", "observed_at"), time="observed_at", min_rows=1_000),
        RawTable(name="planes", key=("tailnum",)),
    ),
    features=(
        FeatureTable(name="origin_weather", key=("origin",), inputs=("weather",)),
        # A lookback is the longest span plus two days: that much later a flight may arrive than it should have left.
        FeatureTable(name="carrier_lateness", key=("carrier",), inputs=("flights",), lookback=timedelta(days=9)),
        FeatureTable(name="origin_lateness", key=("origin",), inputs=("flights",), lookback=timedelta(days=3)),
        FeatureTable(name="origin_departures", key=("origin",), inputs=("flights",), lookback=timedelta(days=2)),
        FeatureTable(name="route_lateness", key=("route",), inputs=("flights",), lookback=timedelta(days=30)),
        FeatureTable(name="plane_facts", key=("tailnum",), inputs=("planes",)),
    ),
    examples=Examples(
        key=("flight_id",),
        inputs=("flights",),
        request_features=("carrier", "origin", "dest", "hour", "weekday", "distance"),
        # For tomorrow's plans, and again within the hour before the moment that the model was trained for.
        ahead=Ahead(leads=(timedelta(days=1), timedelta(hours=1)), known=timedelta(days=2)),
    ),
    feature_service="flights",
    params=FlightsParams,
    gate=Gate(
        metric="roc_auc",
        margin=0.0005,
        holdout=timedelta(days=28),
        holdout_share=0.2,
        slices=("origin",),
        max_latency=1.0,
        max_size=20_000_000,
    ),
    drift=DriftPolicy(warning=0.1, alarm=0.3, performance_drop=0.03),
    retraining=Retraining(initial_partitions=2, cooldown=1, max_age=2),
    trusted_types=("sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",),
    triage="Open the failed task's log: the error names the table, the field and the fix. A bad batch is fixed at its"
    " source (source.py) or in expectations.py; then clear the failed task, nothing needs undoing.",
)
