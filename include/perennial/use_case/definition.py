"""The declaration of a use case: what a team writes down about one prediction problem.

A use case is a folder `use_cases/<name>/` with

- `use_case.py`: a light module whose `use_case` is a `UseCase`;
- `source.py`: one function per raw table, with the table's name: `(partition: Partition) -> pyarrow.Table`;
- `transforms.py`: one function per feature table, with the table's name, and `examples`. Each takes the `ibis.Table`s
  of its `inputs` as keyword arguments and returns an `ibis.Table`;
- `expectations.py`: one function per raw or feature table, with the table's name, and `training_set`:
  `(partition: Partition) -> list[gx.expectations.Expectation]` (`training_set` takes no argument);
- `model.py`: `build(params) -> sklearn estimator`;
- `value.py`, if `value` names a function: what each row is worth, in money.

Only these modules may import heavy libraries; the library loads them when a task needs them.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from importlib import import_module
from types import ModuleType
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from perennial.errors import InvalidPartition, PerennialError
from perennial.partitions import Cadence, Partition
from perennial.use_case import ahead, classes, folders
from perennial.use_case import interval as intervals
from perennial.use_case import search as searching
from perennial.use_case import value as valuing
from perennial.use_case.ahead import Ahead
from perennial.use_case.deadlines import Deadlines
from perennial.use_case.declarations import Declaration, problems
from perennial.use_case.interval import PredictionInterval
from perennial.use_case.metric_names import LOWER_IS_BETTER, METRICS, PINBALL, VALUE
from perennial.use_case.policies import Approval, DriftPolicy, Gate, Retraining, ServingPolicy
from perennial.use_case.refreshing import LENGTHS, Refresh
from perennial.use_case.rollout import Rollout
from perennial.use_case.search import Search
from perennial.use_case.table_names import RESERVED, TableNames
from perennial.use_case.value import Value

Name = str
_NAME = re.compile(r"^[a-z][a-z0-9_]{0,47}$")


class RawTable(Declaration):
    """A table of raw rows, which arrive in one batch per partition."""

    name: Name = Field(
        description="Name of the table in the lake, and of its functions in `source.py` and `expectations.py`."
    )
    key: tuple[str, ...] = Field(min_length=1, description="Columns that identify a row; unique and never null.")
    time: str | None = Field(
        default=None,
        description="Event-time column (UTC). Rows outside the partition are quarantined. None: a batch is a snapshot.",
    )
    min_rows: int = Field(
        default=1, ge=0, description="With fewer rows than this the partition stops; 0: it may be empty."
    )
    max_quarantined: float = Field(
        default=0.1, ge=0, le=1, description="With a larger share of quarantined rows the partition stops."
    )
    known_ahead: tuple[str, ...] = Field(
        default=(),
        description="Columns that are known before the outcome, for `examples.ahead`: all others are null there.",
    )


class FeatureTable(Declaration):
    """A table of features, computed from raw tables; a Feast view in `feature_repo/` serves it.

    Its transform returns the key, `event_timestamp` (UTC: when the values became known) and the features. The library
    keeps the rows whose `event_timestamp` is inside the partition.
    """

    name: Name = Field(description="Name of the table in the lake, and of its function in `transforms.py`.")
    key: tuple[str, ...] = Field(min_length=1, description="The join keys of the entity that the values describe.")
    inputs: tuple[Name, ...] = Field(min_length=1, description="Raw tables passed to the transform.")
    lookback: timedelta = Field(
        default=timedelta(0), ge=timedelta(0), description="How far before the partition the inputs must begin."
    )
    pushed: bool = Field(
        default=False, description="Whether rows may also be pushed, by `perennial.push` or over HTTP."
    )


class Examples(Declaration):
    """What is predicted.

    Transform `examples` returns one row per example: the key, the entities' join keys, `event_timestamp` (UTC: the
    moment of prediction), request-time features, `label` (null while unknown), `label_timestamp` (UTC: when the label
    matured).
    """

    key: tuple[str, ...] = Field(min_length=1, description="Columns that identify an example.")
    inputs: tuple[Name, ...] = Field(min_length=1, description="Raw tables passed to the transform.")
    request_features: tuple[str, ...] = Field(
        default=(),
        description="Columns of the examples that are model inputs, in addition to the feature service's features.",
    )
    weight: str | None = Field(
        default=None,
        description="Column of the examples that says how much a row counts in a fit, a number of at least 0; metrics"
        " count every row alike. None: a fit does, too.",
    )
    ahead: Ahead | None = Field(
        default=None, description="How they are predicted ahead of their moment, on the clock; None: they are not."
    )


class TrainingParams(Declaration):
    """Parameters of a training run. A use case adds its estimator's; all appear in Airflow's trigger form."""

    window_start: str | None = Field(
        default=None, description="First partition to train on; empty: by the retraining policy."
    )
    window_end: str | None = Field(default=None, description="Last partition to train on; empty: the newest.")
    seed: int = Field(default=20130101, ge=0, le=2**32 - 1, description="Seed of all random numbers.")
    force: bool = Field(default=False, description="Train even if the request was already handled.")
    require_approval: Approval | None = Field(
        default=None, description="Whether a promotion needs a person's approval; empty: as the use case's gate says."
    )


class UseCase(Declaration):
    """One prediction problem: its raw tables, feature tables, examples, estimator, gate, drift policy and owner."""

    name: Name = Field(description="The folder's name, and the prefix of its DAGs' and tables' names.")
    title: str = Field(description="A short title for people.")
    description: str = Field(description="What is predicted, for what, and when.")
    owner: str = Field(min_length=1, description="Who is responsible for it; shown on every DAG.")
    tags: tuple[str, ...] = Field(default=(), description="Further tags of its DAGs.")
    task: Literal["binary", "multiclass", "regression"] = Field(
        description="The kind of label: 0 or 1, the name of one of `classes`, or a number."
    )
    classes: tuple[str, ...] = Field(
        default=(),
        description="Of task `multiclass`, and only of it: the labels that there are, at least three, in the order of"
        " the model's output.",
    )
    cadence: Cadence = Field(description="The length of a partition of event time, in UTC; weeks start on Monday.")
    start: str = Field(description="First partition.")
    end: str | None = Field(default=None, description="The partition after the last one; None: there is no last one.")
    raw: tuple[RawTable, ...] = Field(min_length=1, description="The tables of raw rows.")
    features: tuple[FeatureTable, ...] = Field(min_length=1, description="The feature tables computed from them.")
    examples: Examples = Field(description="What is predicted.")
    feature_service: Name = Field(description="The Feast feature service that training and scoring use.")
    retired_features: tuple[str, ...] = Field(
        default=(), description="Features that are still served to the models that use them, but not to new models."
    )
    params: type[TrainingParams] = Field(
        default=TrainingParams, description="The parameters of a training run, passed to `build()` in `model.py`."
    )
    search: Search | None = Field(
        default=None,
        description="How a training run searches for better ones of these parameters. None: it trains with what it is"
        " given.",
    )
    value: Value | None = Field(
        default=None, description="What a decision is worth, in money: the metric `value`. None: it is not declared."
    )
    interval: PredictionInterval | None = Field(
        default=None,
        description="The interval that each prediction of a regression gets: `lower` and `upper`. None: it gets none.",
    )
    quantile: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="Of a regression that predicts a quantile of the label: which one, such as 0.95 for a number that"
        " is enough in 19 of 20 cases. The metric is `pinball`. None: it predicts the mean, or the median.",
    )
    gate: Gate = Field(description="When a challenger replaces the champion.")
    drift: DriftPolicy = Field(default=DriftPolicy(), description="When a monitor raises an alarm.")
    retraining: Retraining = Field(default=Retraining(), description="When its model is retrained, and on what.")
    rollout: Rollout | None = Field(
        default=None,
        description="How a challenger is tried on live requests before it replaces the champion. None: it is not.",
    )
    serving: ServingPolicy = Field(default=ServingPolicy(), description="How requests for predictions are answered.")
    refresh: Refresh | None = Field(
        default=None,
        description="How often features of the partition under way are refreshed. None: a partition comes at its end.",
    )
    deadlines: Deadlines = Field(
        default=Deadlines(), description="By when a partition must be in the lake, and scored: else it is an incident."
    )
    trusted_types: tuple[str, ...] = Field(
        default=(), description="Types not on skops' own list that this use case's models may contain."
    )
    triage: str = Field(min_length=1, description="What to do first when a run of it fails; shown on every DAG.")

    @field_validator("name", "feature_service")
    @classmethod
    def _is_a_name(cls, value: str) -> str:
        if not _NAME.match(value):
            raise ValueError(f"{value!r} must be lower case letters, digits and underscores, at most 48")
        return value

    @field_validator("params")
    @classmethod
    def _has_defaults(cls, value: type[TrainingParams]) -> type[TrainingParams]:
        try:
            value()
        except ValidationError as error:
            raise ValueError(f"every parameter needs a default that is valid itself; {problems(error)}") from error
        return value

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        self.cadence.partition(self.start)
        if self.end is not None and self.cadence.partition(self.end) <= self.cadence.partition(self.start):
            raise ValueError(f"end {self.end!r} is not after start {self.start!r}")
        names = [table.name for table in self.raw] + [table.name for table in self.features]
        for name in names:
            if not _NAME.match(name) or name in RESERVED or names.count(name) > 1:
                raise ValueError(f"table name {name!r} is malformed, reserved or used twice")
        inputs = [*(name for table in self.features for name in table.inputs), *self.examples.inputs]
        for name in inputs:
            if name not in {raw.name for raw in self.raw}:
                raise ValueError(f"input {name!r} is not a raw table")
        if self.examples.weight in {*self.examples.key, *self.examples.request_features, "label"}:
            raise ValueError(f"examples.weight {self.examples.weight!r} is also a key, a feature or the label")
        ahead.check(self)
        classes.check(self)
        if self.search is not None:
            searching.check(self.search, self.params, frozenset(TrainingParams.model_fields))
        _check_metric(self)
        intervals.check(self)
        if self.refresh is not None and self.refresh.every >= LENGTHS[self.cadence]:
            raise ValueError(f"refresh.every {self.refresh.every} is not shorter than a {self.cadence} partition")
        return self

    @property
    def tables(self) -> TableNames:
        """The full names of its tables in the lake."""
        return TableNames(self.name)

    @property
    def higher_is_better(self) -> bool:
        """Whether a higher value of the gate's metric is better."""
        return self.gate.metric not in LOWER_IS_BETTER

    @property
    def evaluated_columns(self) -> tuple[str, ...]:
        """Columns that an evaluation needs beside label, time and prediction: those of slices, and of the value."""
        return tuple(dict.fromkeys((*self.gate.slices, *(self.value.columns if self.value is not None else ()))))

    @property
    def first(self) -> Partition:
        """The first partition."""
        return self.cadence.partition(self.start)

    def raw_table(self, name: str) -> RawTable:
        """The raw table of that name."""
        return next(table for table in self.raw if table.name == name)

    def has_partition(self, partition: Partition) -> bool:
        """Whether a partition of its cadence is one of its own: neither before `start` nor at or after `end`."""
        return self.first <= partition and (self.end is None or partition < self.cadence.partition(self.end))

    def partition(self, key: str) -> Partition:
        """The partition named `key`.

        Raises:
            InvalidPartition: The key is malformed, or the partition is before `start` or not before `end`.
        """
        partition = self.cadence.partition(key)
        if not self.has_partition(partition):
            last = self.cadence.partition(self.end).previous.key if self.end else "now"
            raise InvalidPartition(
                f"Use case {self.name!r} has no partition {key!r}.",
                f"Choose one from {self.start} to {last}, or change `start` or `end` in"
                f" include/use_cases/{self.name}/use_case.py.",
            )
        return partition

    def holdout_start(self, start: datetime, end: datetime) -> datetime:
        """Where the gate's holdout begins in a window of event time (UTC); later than `start`.

        Args:
            start: The window's first moment.
            end: The first moment after the window, at which the holdout ends too.
        """
        return end - min(self.gate.holdout, self.gate.holdout_share * (end - start))

    def module(self, name: str) -> Any:
        """The use case's own module `name` ("source", "transforms", "expectations" or "model"), imported.

        Raises:
            PerennialError: There is no such file.
        """
        return load_module(self.name, name)


def _check_metric(use_case: UseCase) -> None:
    """Refuse a gate's metric that there is none of, and a value that does not fit the task."""
    metrics: tuple[str, ...] = METRICS[use_case.task]
    if use_case.value is not None:
        valuing.check(use_case.value, use_case.task)
        metrics = (*metrics, VALUE)
    elif use_case.gate.metric == VALUE:
        raise ValueError("gate metric 'value' is money: declare what a decision is worth, value=Value(...)")
    if use_case.quantile is not None:
        if use_case.task != "regression":
            raise ValueError("quantile is of a number: of classes probabilities are predicted; leave quantile out")
        if use_case.interval is not None:
            raise ValueError("an interval is around a mean or a median: declare either quantile or interval")
        # By any other metric a model of the mean would win.
        metrics = (PINBALL, *(name for name in metrics if name == VALUE))
    elif use_case.gate.metric == PINBALL:
        raise ValueError("gate metric 'pinball' is of a quantile: declare which one, such as quantile=0.95")
    if use_case.gate.metric not in metrics:
        raise ValueError(f"gate metric {use_case.gate.metric!r} is not one of {', '.join(metrics)} for {use_case.task}")


def load_module(name: str, module: str) -> ModuleType:
    """Module `module` of use case `name`, imported.

    Args:
        name: The use case's folder below `include/use_cases`.
        module: The file's name there, without `.py`.

    Raises:
        PerennialError: There is no such file.
    """
    folders.roots()
    try:
        return import_module(f"use_cases.{name}.{module}")
    except ModuleNotFoundError as error:
        if error.name != f"use_cases.{name}.{module}":
            raise
        raise PerennialError(
            f"Use case {name!r} has no module {module!r}.", f"Write include/use_cases/{name}/{module}.py."
        ) from error
