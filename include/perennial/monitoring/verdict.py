"""A monitor's verdict on a partition and the evidence it rests on, as data."""

from __future__ import annotations

import json
from typing import Any

from pydantic import ConfigDict, Field, SerializerFunctionWrapHandler, ValidationError, model_serializer

from perennial.use_case.declarations import Declaration

HEALTHY, WARNING, ALARM, NO_CHAMPION = "healthy", "warning", "alarm", "no-champion"
#: Kinds of alarms that are also reasons for retraining,
PERFORMANCE, SLICE, DRIFT, PREDICTION_DRIFT = "performance", "slice", "drift", "prediction-drift"
INTERVAL_COVERAGE = "interval-coverage"
#: and those that only tell.
QUARANTINE, ESTIMATED_PERFORMANCE = "quarantine", "estimated-performance"
#: Reasons for retraining that are no alarm.
AGE, FIRST_MODEL = "age", "first-model"
#: What the measurements of a partition tell about its performance before a newer model is compared: the data look
#: broken, too few labels are in to tell anything, or only some slices fell. `monitoring.alarms` has the other causes.
BROKEN_DATA, LABELS, ONE_SLICE = "broken-data", "labels", "slice"


def _stored_as(key: str, default: Any = None) -> Any:
    """A field that the lake keeps under another key than its name."""
    return Field(default=default, validation_alias=key, serialization_alias=key)


class _Stored(Declaration):
    """Written with exactly the fields that were set, so that records keep the form in which they were first written.

    Every field has a default: older records lack some. Keys of other releases are kept as they are.
    """

    model_config = ConfigDict(extra="allow", validate_by_name=True, validate_by_alias=True, serialize_by_alias=True)

    @model_serializer(mode="wrap")
    def _only_what_was_set(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        stored: dict[str, Any] = serialize(self)
        for name, field in type(self).model_fields.items():
            if name not in self.model_fields_set:
                stored.pop(field.serialization_alias or name, None)
        return stored


class DriftedColumn(_Stored):
    """How a column drifted: see `perennial.drift.ColumnDrift`, whose numbers these are, rounded."""

    why: str = ""
    explanation: str = _stored_as("told", "")
    method: str = ""
    distance: float | None = None
    reference: float | None = None
    ratio: float | None = None
    importance: float | None = None
    cost: float | None = None


class Attribution(_Stored):
    """What was lost against the expected metric, by where it comes from: see `perennial.monitoring.attribution`.

    Attributes:
        cost_of_inputs: What the shift of all inputs together cost, in the unit of the gate's metric, positive if the
            metric is worse for it; None: it cannot be told.
        unknown: Why it cannot be told, in words.
        unexplained: The rest of `lost`: with inputs that are alike, production is worse by it. Not set: not known.
        overlap: What the partition's inputs and those of the holdout have in common: 1: everything, 0: nothing.
        rows, holdout_rows: Rows of the partition and of the holdout that were compared.
        left_out: Why nothing of this is known although there is something to explain.
    """

    cost_of_inputs: float | None = None
    unknown: str = ""
    unexplained: float | None = None
    overlap: float | None = None
    rows: int | None = None
    holdout_rows: int | None = None
    left_out: str = ""


class QuarantinedShare(_Stored):
    """The share of raw rows that were quarantined, 0 to 1: see `perennial.quarantine.QuarantineShare`."""

    now: float = 0.0
    usual: float | None = None
    partitions: int = 0


class ExpectedFrom(_Stored):
    """The gate's decision that an expected metric is from.

    Attributes:
        decision: The version that was decided on: a challenger that was compared with the champion, or that itself.
        partition: The last partition of that decision's data, event time.
    """

    decision: int | None = None
    partition: str | None = None


class EstimateEvidence(_Stored):
    """The gate's metric on a partition, estimated without any of its labels: see `perennial.monitoring.estimate`.

    Attributes:
        value: The estimate.
        low, high: The truth is between them in 90% of partitions.
        margin: How far it may be off by the version's holdout alone; the record makes the interval wider or narrower.
        rows: Predictions that it is of.
        of_served: Whether it is of the predictions that were served only, as production performance may be.
        partitions: Its record when it was made: of how many earlier partitions there were both an estimate and the
            truth,
        within: in how many of them the truth was within the interval,
        mean_error: and the mean distance between both; None: there was none.
    """

    value: float = 0.0
    low: float = 0.0
    high: float = 0.0
    margin: float = 0.0
    rows: int = 0
    of_served: bool = False
    partitions: int = 0
    within: int = 0
    mean_error: float | None = None

    def __str__(self) -> str:
        return f"{self.value:.4g} ({self.low:.4g} to {self.high:.4g})"


class SliceEvidence(_Stored):
    """The gate's metric on one slice of the labelled predictions: see `perennial.monitoring.live_slices`.

    Attributes:
        rows: Labelled predictions of the slice.
        production: The gate's metric on them.
        expected: What the gate measured on that slice of its holdout; not set: it recorded none.
        lost: By how much `production` is worse, positive if it is.
        uncertainty: By how much less may have been lost: 95%, one-sided, over all slices at once.
        fell: Whether so much was lost that it is an alarm.
    """

    rows: int | None = None
    production: float | None = None
    expected: float | None = None
    lost: float | None = None
    uncertainty: float | None = None
    fell: bool = False


class IntervalEvidence(_Stored):
    """The prediction intervals of the labelled predictions: see `perennial.monitoring.live_intervals`.

    Attributes:
        rows: Labelled predictions that have an interval.
        declared: The share of labels that was to lie within them, when they were made.
        reached: The share that does.
        uncertainty: By how much more it may be: 95%, one-sided; with how uncertain the holdout's margin is, and how
            much days differ.
        width: Mean, in the unit of the label.
        expected_width: The same on the gate's holdout. Not set: not recorded.
        earlier: How many more were predicted before the margin was recorded, and are left out. Not set: none.
        is_renewed: Whether a newer margin was recorded since, so that there is no alarm. Not set: none was.
        fell: Whether the share is so much smaller than declared that it is an alarm.
        left_out: Why there is nothing of this.
    """

    rows: int | None = None
    declared: float | None = None
    reached: float | None = None
    uncertainty: float | None = None
    width: float | None = None
    expected_width: float | None = None
    earlier: int | None = None
    is_renewed: bool = False
    fell: bool = False
    left_out: str = ""


class ClassEvidence(_Stored):
    """The labelled predictions of one class of a multi-class use case: see `perennial.monitoring.live_classes`.

    Attributes:
        labels: How many have it as their label.
        predicted: How many were predicted to be it.
        right: How many are both.
        fitted: Rows of it that the version was fitted on, of a refit those that were held out included; not set: not
            recorded.
        share_before: Its share of the gate's holdout, 0 to 1.
    """

    labels: int = 0
    predicted: int = 0
    right: int = 0
    fitted: int | None = None
    share_before: float | None = None


class VerdictEvidence(_Stored):
    """The numbers that a verdict, or a request for retraining, rests on. What does not apply is not set.

    Attributes:
        partition: The partition that the verdict is about.
        model_version: The version that scored it.
        rows, labelled: Predictions of that version, and those with a label.
        served: Those of them that were served before batch scoring filled in the others.
        ahead: Those of the `served` ones that were made ahead of their moment; the others were answered on request.
        judged: Whether performance is that of the `served` ones or of `all`.
        label_coverage, coverage_needed: Their ratio, and the one from which on performance is computed.
        metric: The gate's metric.
        expected: Its value on the gate's holdout; None: the gate recorded none.
        expected_from: The later decision of the gate that measured it. Not set: the version's own.
        production: Its value on the labelled rows; None: too few labels.
        lost: By how much `production` is worse than `expected`, positive if it is; None: one of them is missing.
        lost_uncertainty: By how much less may have been lost (95%, one-sided); infinite: too few rows to tell.
        estimate: The metric as it was estimated before any label of the partition was looked at.
        estimate_left_out: Why there is no estimate although the policy wants one.
        attribution: What the loss comes from. Not set: there is nothing to explain.
        slices: The same of the slices that the gate declares, by name (`origin=JFK`); of those with enough rows.
        interval: How many labels were within their prediction intervals. Not set: none are declared, or too few labels.
        classes: Of a multi-class use case the labelled predictions of each class.
        cause: What the measurements tell of a performance alarm: `broken-data` or `slice`; `labels`: there is no alarm
            because too few labels are in. Not set: a newer model has to be compared.
        broken: With the cause `broken-data`, what looks broken, in words.
        first_model_left_out: Why the first model's metrics are missing.
        value_left_out: Why what the decisions were worth is missing.
        drift_score: The drifted columns' share of the feature importance, 0 to 1.
        drifted: Drifted columns by name, predictions among them.
        prediction_drift: Drift of the predictions, as a multiple of their baseline.
        detectable: The most important numbers -> the smallest shift that would have been found: see `ColumnDrift`.
        sustained: Kind of drift -> in how many of the last partitions, this one included, it reached its alarm level.
        persistence: (n, m): drift is an alarm once n of the last m partitions reached that level.
        quarantined: The share of quarantined rows.
        age: Partitions since the champion's first, that one included.
        new_data: Event time since the champion was trained, for people.
        alarms: Kinds of alarms, the most important first.
        loaded: Partitions so far, while there is no champion.
        needed: Partitions from which on the first model is trained.
        schedule: The schedule that a request for retraining was made by.
    """

    partition: str | None = None
    model_version: int | None = None
    rows: int | None = None
    labelled: int | None = None
    served: int | None = None
    ahead: int | None = None
    judged: str | None = None
    label_coverage: float | None = None
    coverage_needed: float | None = None
    metric: str | None = None
    expected: float | None = _stored_as("promised")
    expected_from: ExpectedFrom | None = None
    production: float | None = _stored_as("lived")
    lost: float | None = None
    lost_uncertainty: float | None = None
    estimate: EstimateEvidence | None = None
    estimate_left_out: str | None = None
    attribution: Attribution | None = None
    slices: dict[str, SliceEvidence] = Field(default_factory=dict)
    interval: IntervalEvidence | None = None
    classes: dict[str, ClassEvidence] = Field(default_factory=dict)
    cause: str | None = None
    broken: tuple[str, ...] = ()
    first_model_left_out: str | None = None
    value_left_out: str | None = None
    drift_score: float | None = None
    drifted: dict[str, DriftedColumn] = Field(default_factory=dict)
    prediction_drift: float | None = None
    detectable: dict[str, float] = Field(default_factory=dict)
    sustained: dict[str, int] = Field(default_factory=dict)
    persistence: tuple[int, int] | None = None
    quarantined: QuarantinedShare | None = None
    age: int | None = None
    new_data: str | None = None
    alarms: tuple[str, ...] = ()
    loaded: int | None = _stored_as("partitions")
    needed: int | None = None
    schedule: str | None = None

    @classmethod
    def from_json(cls, text: str | None) -> VerdictEvidence:
        """Evidence as the lake keeps it. A value in a form that this release does not know is left out."""
        stored = json.loads(text or "{}")
        try:
            return cls.model_validate(stored)
        except ValidationError as error:
            unknown = {each["loc"][0] for each in error.errors()}
            return cls.model_validate({key: value for key, value in stored.items() if key not in unknown})

    def as_json(self) -> dict[str, Any]:
        """The evidence under the keys that the lake keeps it by, for `json.dumps`."""
        return self.model_dump()


class Verdict(Declaration):
    """A monitor's decision on one partition.

    Attributes:
        verdict: `healthy`, `warning`, `alarm` or `no-champion`.
        reason: Why retraining is requested (`performance`, `slice`, `interval-coverage`, `drift`, `prediction-drift`,
            `age`, `first-model`); empty if it is not.
        evidence: The numbers it rests on.
        report: Address of the Evidently report; empty without one.
        explanation: One sentence for people.
    """

    verdict: str
    reason: str
    evidence: VerdictEvidence
    report: str = ""
    explanation: str = ""
