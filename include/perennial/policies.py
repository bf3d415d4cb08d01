"""The policies of a use case: when the gate promotes, when a monitor raises an alarm, when a model is retrained."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from perennial.declarations import Declaration

#: When a person is asked before a promotion.
Approval = Literal["never", "always", "borderline"]


class Gate(Declaration):
    """When a challenger replaces the champion. Both are judged on one holdout, later than all either has seen.

    Rows of one block of event time are alike, so it is blocks, not rows, that the certainty is counted in.
    """

    metric: str = Field(
        description="What is compared: one of `perennial.evaluation.metrics`, such as `roc_auc` or `rmse`."
    )
    margin: float = Field(default=0.0, ge=0, description="How much better the challenger must be; ties lose.")
    confidence: float = Field(
        default=0.95, gt=0.5, lt=1, description="How sure the gate must be that it is: one-sided."
    )
    holdout: timedelta = Field(gt=timedelta(0), description="The end of the training window, kept for the gate.")
    holdout_share: float = Field(
        default=0.5, gt=0, lt=1, description="Of a short window, the holdout is at most this share."
    )
    block: timedelta = Field(
        default=timedelta(days=1), gt=timedelta(0), description="Event time within which rows are alike."
    )
    min_blocks: int = Field(default=5, ge=2, description="Blocks below which there is not enough evidence.")
    min_rows: int = Field(default=200, ge=2, description="Holdout rows below which there is not enough evidence.")
    slices: tuple[str, ...] = Field(default=(), description="Columns on whose values the challenger must hold.")
    slice_tolerance: float = Field(default=0.02, ge=0, description="How much worse it may be on any slice.")
    slice_min_rows: int = Field(default=500, ge=2, description="Smaller slices are reported, not judged.")
    calibration_tolerance: float = Field(
        default=0.05,
        ge=0,
        description="How much larger its calibration error may be: see `perennial.evaluation.metrics`.",
    )
    max_null_share: float = Field(
        default=0.95, gt=0, le=1, description="Largest share of nulls that a feature may have, fitted on or held out."
    )
    max_null_change: float = Field(
        default=0.25,
        gt=0,
        le=1,
        description="How much a feature's share of nulls may differ between the rows fitted on and the holdout.",
    )
    baseline: str | None = Field(
        default=None,
        description="A feature that is a guess itself, such as the last value known: the first model must beat it too.",
    )
    max_latency: float | None = Field(default=None, gt=0, description="Seconds to predict one row, at most.")
    max_size: int | None = Field(default=None, gt=0, description="Bytes of the stored model, at most.")
    approval: Approval = Field(
        default="never",
        description="Whom a person is asked about: every challenger that the gate would promote or finds borderline"
        " (always), only the borderline ones (borderline), or none (never: borderline ones are not promoted).",
    )
    approval_timeout: timedelta = Field(
        default=timedelta(days=3), gt=timedelta(0), description="No answer in this time is a no."
    )

    @model_validator(mode="after")
    def _has_blocks(self) -> Self:
        blocks = self.holdout / self.block
        if blocks < self.min_blocks:
            raise ValueError(
                f"a holdout of {self.holdout} has {blocks:.3g} blocks of {self.block}, and the gate needs"
                f" {self.min_blocks}: it could never promote. Lengthen gate.holdout or shorten gate.block"
            )
        return self


class ColumnPolicy(Declaration):
    """How a monitor watches one column, or `prediction`, where the defaults by its type do not fit."""

    method: Literal["wasserstein", "jensenshannon", "hellinger", "psi"] | None = Field(
        default=None, description="The distance; None: wasserstein for numbers, jensenshannon for categories."
    )
    ratio: float | None = Field(default=None, gt=0, description="As in the policy, for this column.")
    ignore: bool = Field(default=False, description="Not watched at all.")


class DriftPolicy(Declaration):
    """When a monitor calls a partition an alarm.

    A column drifts when it is `ratio` times as far from the champion's training profile as windows of the training data
    are from one another. The drifted columns' share of the champion's feature importance is the drift score.
    """

    ratio: float = Field(
        default=1.5, gt=0, description="How many times the most that was usual a column may move before it drifts."
    )
    false_alarms: float = Field(
        default=0.01, gt=0, lt=0.5, description="How many partitions like those of training may go beyond the usual."
    )
    columns: dict[str, ColumnPolicy] = Field(default={}, description="What is special about a column.")
    warning: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Drift score from which on drifted columns are a warning; 0: always. Nulls, values never seen,"
        " values that are gone and changes of unit are one at any score.",
    )
    alarm: float = Field(default=0.5, ge=0, le=1, description="Drift score from which on a partition is an alarm.")
    persistence: tuple[int, int] | None = Field(
        default=None,
        description="(n, m): drift is an alarm once n of the last m partitions were beyond it."
        " None: (2, 3) for hourly and daily partitions, (1, 1) for weekly and monthly ones.",
    )
    performance_drop: float | None = Field(
        default=None, gt=0, description="Alarm when the gate's metric is this much worse than on the gate's holdout."
    )
    min_rows: int = Field(default=200, ge=2, description="Fewer rows, or labels, than this are not judged.")
    min_coverage: float = Field(
        default=0.8, gt=0, le=1, description="Share of predictions with a label from which on performance is judged."
    )
    revisits: int = Field(default=12, ge=0, description="Earlier partitions that are looked at for later labels.")
    quarantine_growth: float | None = Field(
        default=3.0, ge=1, description="Alarm when this many times the usual share of rows is quarantined; None: never."
    )

    @field_validator("persistence")
    @classmethod
    def _is_n_of_m(cls, value: tuple[int, int] | None) -> tuple[int, int] | None:
        if value is not None and not 1 <= value[0] <= value[1] <= 50:
            raise ValueError(f"persistence {value} must be (n, m) with 1 <= n <= m <= 50")
        return value

    @model_validator(mode="after")
    def _warns_first(self) -> Self:
        if self.warning > self.alarm:
            raise ValueError(f"warning {self.warning} is above alarm {self.alarm}")
        return self

    def ratio_of(self, column: str) -> float:
        """How many times the usual this column may move: its own number, if it has one."""
        declared = self.columns.get(column)
        return (declared.ratio if declared is not None else None) or self.ratio


class Retraining(Declaration):
    """When and on what a use case retrains."""

    initial_partitions: int = Field(default=2, ge=1, description="Partitions before the first model is trained.")
    window: int | None = Field(default=None, ge=1, description="Partitions to train on; None: everything so far.")
    cooldown: int = Field(default=1, ge=0, description="Partitions after a request in which no other is made.")
    max_age: int | None = Field(default=None, ge=1, description="Retrain once the champion is this many old.")
    schedule: str | None = Field(
        default=None, description="Also ask for retraining by the clock: a cron expression, UTC. None: never."
    )
