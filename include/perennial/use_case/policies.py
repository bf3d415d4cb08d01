"""The policies of a use case: when the gate promotes, when a monitor raises an alarm, when a model is retrained."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from perennial.use_case.declarations import Declaration

#: When a promotion needs a person's approval.
Approval = Literal["never", "always", "borderline"]


class Gate(Declaration):
    """When a challenger replaces the champion. Both are evaluated on one holdout, later than the data of both fits.

    Rows within one block of event time are correlated, so confidence intervals are computed from blocks, not rows.
    """

    metric: str = Field(
        description="The metric that is compared: one of `perennial.evaluation.metrics`, such as `roc_auc` or `rmse`;"
        " or `value`, money per prediction, where the use case declares it."
    )
    margin: float = Field(
        default=0.0, ge=0, description="By how much the challenger must be better; at exactly this much it is not."
    )
    confidence: float = Field(default=0.95, gt=0.5, lt=1, description="One-sided confidence level of that comparison.")
    holdout: timedelta = Field(gt=timedelta(0), description="The end of the training window, kept for the gate.")
    holdout_share: float = Field(
        default=0.5, gt=0, lt=1, description="The holdout is at most this share of the training window."
    )
    block: timedelta = Field(
        default=timedelta(days=1),
        gt=timedelta(0),
        description="Length of event time within which rows are treated as correlated.",
    )
    min_blocks: int = Field(default=5, ge=2, description="With fewer blocks there is not enough evidence.")
    min_rows: int = Field(default=200, ge=2, description="With fewer holdout rows there is not enough evidence.")
    slices: tuple[str, ...] = Field(
        default=(),
        description="Columns; on the rows of each value, a slice, the challenger must not be worse. Slices are"
        " monitored in production too.",
    )
    slice_tolerance: float = Field(default=0.02, ge=0, description="By how much it may be worse on any slice.")
    slice_min_rows: int = Field(default=500, ge=2, description="Slices with fewer rows are reported, but not tested.")
    calibration_tolerance: float = Field(
        default=0.05,
        ge=0,
        description="By how much its calibration error may be larger: see `perennial.evaluation.metrics`.",
    )
    max_null_share: float = Field(
        default=0.95, gt=0, le=1, description="Largest share of nulls that a feature may have, fitted on or held out."
    )
    max_null_change: float = Field(
        default=0.4,
        gt=0,
        le=1,
        description="How much a feature's share of nulls may differ between the rows fitted on and the holdout.",
    )
    baseline: str | None = Field(
        default=None,
        description="A feature that serves as a baseline model, such as the last known value: the first model must be"
        " better than it, too.",
    )
    refit: bool = Field(
        default=True,
        description="Fit what has passed again on the whole window, holdout included, and let that version serve.",
    )
    refit_distance: float = Field(
        default=0.5,
        gt=0,
        description="How far the predictions of the refit may be from those of the evaluated version, on the holdout:"
        " root mean square, as a share of the labels' standard deviation. Beyond it the evaluated version serves.",
    )
    max_latency: float | None = Field(default=None, gt=0, description="Seconds to predict one row, at most.")
    max_size: int | None = Field(default=None, gt=0, description="Bytes of the stored model, at most.")
    approval: Approval = Field(
        default="never",
        description="Which challengers need a person's approval: every one that the gate would promote or that is"
        " borderline (always), only borderline ones (borderline), or none (never: borderline ones are not promoted).",
    )
    approval_timeout: timedelta = Field(
        default=timedelta(days=3),
        gt=timedelta(0),
        description="Without a response within this time the challenger is not promoted.",
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
    """How drift of one column, or of `prediction`, is measured where the defaults for its type do not fit."""

    method: Literal["wasserstein", "jensenshannon", "hellinger", "psi"] | None = Field(
        default=None, description="The distance; None: wasserstein for numbers, jensenshannon for categories."
    )
    ratio: float | None = Field(default=None, gt=0, description="As in the policy, for this column.")
    ignore: bool = Field(default=False, description="Leave this column out.")


class DriftPolicy(Declaration):
    """When a monitor raises a warning or an alarm for a partition.

    A column has drifted if it is more than `ratio` times as far from the champion's training profile as windows of the
    training data are from the rest of it. The drift score is the sum of the drifted columns' feature importance.
    """

    ratio: float = Field(
        default=1.5, gt=0, description="A column has drifted if its distance exceeds its baseline by this factor."
    )
    false_alarms: float = Field(
        default=0.01,
        gt=0,
        lt=0.5,
        description="Share of partitions without drift in which some column may exceed its baseline by chance.",
    )
    columns: dict[str, ColumnPolicy] = Field(default={}, description="Exceptions for single columns.")
    warning: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Drift score from which on drifted columns are a warning; 0: always. Nulls, new values, vanished"
        " values and changes of unit are a warning at any score.",
    )
    alarm: float = Field(default=0.5, ge=0, le=1, description="Drift score from which on a partition is an alarm.")
    persistence: tuple[int, int] | None = Field(
        default=None,
        description="(n, m): drift is an alarm if n of the last m partitions reached `alarm`."
        " None: (2, 3) for hourly and daily partitions, (1, 1) for weekly and monthly ones.",
    )
    performance_drop: float | None = Field(
        default=None,
        gt=0,
        description="Alarm if production performance is worse than the expected metric by more than this.",
    )
    min_rows: int = Field(
        default=200, ge=2, description="With fewer rows, drift is not tested; with fewer labels, performance is not."
    )
    min_coverage: float = Field(
        default=0.8,
        gt=0,
        le=1,
        description="Share of predictions with a label from which on production performance is measured.",
    )
    estimate_record: int | None = Field(
        default=6,
        ge=1,
        le=30,
        description="While labels are missing, performance is estimated; an estimate may alarm once it was right about"
        " so many earlier partitions. None: nothing is estimated.",
    )
    revisits: int = Field(
        default=12, ge=0, description="How many earlier partitions are checked for labels that arrived since."
    )
    quarantine_growth: float | None = Field(
        default=3.0,
        ge=1,
        description="Alarm if the quarantined share exceeds its baseline by this factor; None: never.",
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
        """The factor by which this column may exceed its baseline: its own, if it has one."""
        declared = self.columns.get(column)
        return (declared.ratio if declared is not None else None) or self.ratio


class Retraining(Declaration):
    """When the model of a use case is retrained, and on what."""

    initial_partitions: int = Field(
        default=2,
        ge=1,
        description="Number of partitions after which the first model is trained; a first partition with less than half"
        " of the others' rows is not counted.",
    )
    initial_rows: int | None = Field(
        default=None,
        ge=1,
        description="Number of labelled rows after which the first model is trained. In any case the rows to fit on and"
        " the holdout need `gate.min_rows` each, and the holdout `gate.min_blocks`.",
    )
    window: int | None = Field(default=None, ge=1, description="Number of partitions to train on; None: all so far.")
    cooldown: int = Field(
        default=1,
        ge=0,
        description="Number of partitions after a request during which no other is made. Requests by `max_age` and"
        " `schedule` hold back only one another: an alarm does not wait for them.",
    )
    max_age: int | None = Field(
        default=None, ge=1, description="Retrain when the champion is this many partitions old."
    )
    schedule: str | None = Field(
        default=None, description="Also request retraining on a schedule: a cron expression, UTC. None: never."
    )


class ServingPolicy(Declaration):
    """How the use case's champion answers requests for predictions."""

    on_missing: Literal["answer", "refuse"] = Field(
        default="answer",
        description="If the online store knows nothing of an entity, or only values older than their view's `ttl`:"
        " predict with nulls in their place, as batch scoring does, and name them (answer), or refuse the request"
        " (refuse).",
    )
