"""The design of a new use case: every decision that its files are rendered from, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from perennial.scaffold.places import Place
from perennial.scaffold.profiling import ProfiledColumn
from perennial.scaffold.times import Buckets, Resolution

Task = Literal["binary", "multiclass", "regression"]


@dataclass(frozen=True)
class Assumption:
    """Something decided without asking, the reason, and the option that changes it."""

    about: str
    what: str
    why: str
    option: str = ""


@dataclass(frozen=True)
class Lookback:
    """A length of time that features look back over: `7d`."""

    name: str
    length: timedelta


@dataclass(frozen=True)
class Label:
    """What is predicted.

    Attributes:
        positive: Of a binary task, the value that is 1.
        rate: Share of 1, or of the most frequent class, or mean.
        spread: Standard deviation; of several classes the entropy of their shares, in nats.
        missing: Share of rows without a label.
        classes: Of a multi-class task, value in the data -> name of the class, the most frequent first.
    """

    column: ProfiledColumn
    task: Task
    positive: str | int | float | bool | None
    rows: int
    rate: float
    spread: float
    missing: float
    classes: Mapping[Any, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Policy:
    """The numbers of gate, drift and retraining, chosen for how much data there is."""

    initial_partitions: int
    holdout: timedelta
    block: timedelta
    gate_rows: int
    drift_rows: int
    batch_rows: int
    performance_drop: float
    max_age: int


@dataclass(frozen=True)
class Design:
    """A whole use case.

    Attributes:
        time: Its reading in the data gives the moment.
        since, until: Rows before the one, and from the other on, are left out; None: there is no such bound.
        columns: Of the raw table, in their order in the data; the time, keys and label among them.
        keys: What a row is about; empty: nothing, and all rows are one series.
        row_key: What identifies a row; empty: a digest of what is known at its moment does.
        learnt_later: Names of the columns that say more after the moment of a row than at it: the label first, what is
            known with it, and what looks like that.
        numbering: Names of the columns that number the rows, and say nothing else.
        counting: Names of those, and of others that only rise with time.
        features: What the model sees of a row itself.
        later: Known only with the label: only their past is a feature.
        left_out: Name in the data -> why it is no feature.
        known_after: How long after its moment the label, and what else is known later, is known.
        spans: What features look back over, the shorter first.
        sample: Names of a few partitions in a row with enough rows, and both classes, to try things on; the first alone
            has many of them.
        calendar: Which of hour_of_day, day_of_week, month_of_year are features.
    """

    name: str
    owner: str
    place: Place
    rows: int
    time: ProfiledColumn
    since: datetime | None
    until: datetime | None
    resolution: Resolution
    columns: tuple[ProfiledColumn, ...]
    keys: tuple[ProfiledColumn, ...]
    row_key: tuple[str, ...]
    learnt_later: tuple[str, ...]
    numbering: tuple[str, ...]
    counting: tuple[str, ...]
    label: Label
    features: tuple[ProfiledColumn, ...]
    later: tuple[ProfiledColumn, ...]
    left_out: dict[str, str]
    known_after: timedelta
    spans: tuple[Lookback, ...]
    calendar: tuple[str, ...]
    cuts: Buckets
    sample: tuple[str, ...]
    policy: Policy
    assumptions: tuple[Assumption, ...] = field(default=())

    @property
    def task(self) -> Task:
        """What is predicted: a class or a number."""
        return self.label.task

    @property
    def boosts(self) -> bool:
        """Whether there are rows enough for boosted trees; a linear model learns from fewer."""
        return self.label.rows >= 2000

    @property
    def first(self) -> str:
        """The name of the first partition."""
        return self.cuts.partitions[0].key

    @property
    def last(self) -> str:
        """The name of the last partition."""
        return self.cuts.partitions[-1].key
