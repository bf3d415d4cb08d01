"""Which team will solve a support ticket?"""

from datetime import timedelta

from pydantic import Field

from perennial import (
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


class TicketParams(TrainingParams):
    """The estimator's knob."""

    c: float = Field(default=1.0, gt=0, le=1_000, description="Inverse strength of the regularization.")


use_case = UseCase(
    name="tickets",
    title="Team of a support ticket",
    description="Which team will have solved a ticket? Predicted when it is opened, to send it there at once.",
    owner="support-desk",
    tags=("example",),
    task="multiclass",
    # Few tickets are of `fraud`; `migration` ended in January; `subscriptions` are sold from February on.
    classes=("billing", "delivery", "technical", "fraud", "migration", "subscriptions"),
    cadence=Cadence.WEEKLY,
    start="2025-01-06",
    end="2025-06-30",
    raw=(RawTable(name="tickets", key=("ticket",), time="opened_at"),),
    features=(FeatureTable(name="product_lately", key=("product",), inputs=("tickets",), lookback=timedelta(days=9)),),
    examples=Examples(
        key=("ticket",), inputs=("tickets",), request_features=("channel", "words", "attachments", "amount")
    ),
    feature_service="tickets",
    params=TicketParams,
    gate=Gate(
        metric="log_loss",
        holdout=timedelta(days=14),
        block=timedelta(days=1),
        min_rows=300,
        slices=("channel",),
        slice_tolerance=0.1,
    ),
    drift=DriftPolicy(performance_drop=0.15),
    retraining=Retraining(initial_partitions=5, window=6, cooldown=1, max_age=8),
    triage="Open the failed task's log: the error names the table, the field and the fix.",
)
