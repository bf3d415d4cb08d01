"""Drift by effect size: how far a partition is from the champion's own training profile, in units of what is normal.

Evidently computes every distance: normed Wasserstein for numbers, Jensen-Shannon for categories. Both are effect sizes:
they don't grow with the sample, as p-values shrink with it. A column's distance is held against the largest distance of
one training window from the whole profile, so that what always moves (weather) is not an alarm every month.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import polars as pl
from evidently import DataDefinition, Dataset, Report
from evidently.legacy.calculations.stattests import jensenshannon_stat_test, wasserstein_stat_test
from evidently.legacy.core import ColumnType
from evidently.metrics import ValueDrift

from perennial import metrics, tracking
from perennial.training_set import TrainingSet
from perennial.use_case import DriftPolicy, UseCase

#: Rows of a compressed profile. Marginal distances on it are within 0.002 of those on all rows.
PROFILE_ROWS = 4_000
#: Training rows that a model predicts for its own profile, evenly over time.
PREDICTED_ROWS = 20_000
#: Rows that a model predicts in one call when its importances are found.
PREDICTED_AT_ONCE = 100_000
#: A column that never moved in training still may by this much before it counts as moved.
SMALLEST_REFERENCE = 0.01
#: The column of predictions; it carries no importance of its own.
PREDICTION = "prediction"
_MIN_WINDOWS = 4

Predict = Callable[[pd.DataFrame], np.ndarray]


@dataclass(frozen=True)
class ColumnDrift:
    """One column of one partition.

    Attributes:
        distance: From the training profile; `nan` when the column is empty now.
        reference: The largest distance of a training window from the profile.
        ratio: distance / reference; `inf` when the column is empty now.
        importance: The column's share in the champion's skill, 0 to 1.
    """

    column: str
    method: str
    distance: float
    reference: float
    ratio: float
    importance: float
    drifted: bool


@dataclass(frozen=True)
class Profile:
    """What a model was trained on, small enough to store with it.

    Attributes:
        rows: `PROFILE_ROWS` rows of quantiles (numbers) or of values in proportion (categories), column by column:
            marginal distributions only.
        reference: Column -> the largest distance of one training window from `rows`.
        importance: Column -> its share in the model's skill.
    """

    rows: pd.DataFrame
    reference: dict[str, float]
    importance: dict[str, float]

    @classmethod
    def of_features(cls, use_case: UseCase, data: TrainingSet, columns: list[str]) -> Profile:
        """The profile of the features of all rows that a model is fitted on; nothing of the model itself."""
        return cls._of(use_case, pl.DataFrame(data.fit_table.select(["event_timestamp", *columns])))

    def with_model(self, use_case: UseCase, data: TrainingSet, predict: Predict) -> Profile:
        """Add what a model fitted on these rows makes of each column, and what it predicts for an even sample."""
        columns = list(self.rows)
        sample = data.fit.iloc[:: len(data.fit) // PREDICTED_ROWS + 1]
        times = pl.Series(sample["event_timestamp"]).dt.cast_time_unit("us")
        predicted = self._of(use_case, pl.DataFrame({"event_timestamp": times, PREDICTION: predict(sample[columns])}))
        return Profile(
            pd.concat([self.rows, predicted.rows], axis=1),
            self.reference | predicted.reference,
            importances(use_case, predict, data.holdout[columns], data.holdout["label"]),
        )

    @classmethod
    def _of(cls, use_case: UseCase, rows: pl.DataFrame) -> Profile:
        """The profile of each column of `rows` but `event_timestamp`."""
        windows = [compress(window.drop("event_timestamp")) for window in _windows(use_case, rows)]
        profile = compress(rows.drop("event_timestamp"))
        reference = {
            str(name): max([SMALLEST_REFERENCE, *(_distance(profile[name], window[name]) for window in windows)])
            for name in profile
        }
        return cls(profile, reference, {})

    def log(self) -> None:
        """Log it to the active MLflow run."""
        with tempfile.TemporaryDirectory() as folder:
            self.rows.to_parquet(Path(folder) / "profile.parquet")
            mlflow.log_artifacts(folder, "drift")
        mlflow.log_dict({"reference": self.reference, "importance": self.importance}, "drift/profile.json")

    @classmethod
    def load(cls, run_id: str) -> Profile:
        """The profile that a training run logged."""
        with tracking.reachable(), tempfile.TemporaryDirectory() as folder:
            tracking.client()
            path = mlflow.artifacts.download_artifacts(f"runs:/{run_id}/drift/profile.parquet", dst_path=folder)
            return cls(pd.read_parquet(path), **mlflow.artifacts.load_dict(f"runs:/{run_id}/drift/profile.json"))


def compress(rows: pl.DataFrame) -> pd.DataFrame:
    """At most `PROFILE_ROWS` rows with the same marginal distribution and share of nulls in every column.

    Numbers become floats, everything else text.
    """
    size = min(rows.height, PROFILE_ROWS)
    return pd.DataFrame({column.name: _compress(column, size) for column in rows})


def _compress(values: pl.Series, size: int) -> pd.Series:
    present = (
        values.cast(pl.Float64).fill_nan(None) if values.dtype.is_numeric() else values.cast(pl.String)
    ).drop_nulls()
    kept = max(round(size * len(present) / len(values)), 1) if len(present) else 0
    # The value in the middle of each of `kept` equal slices of the sorted column: quantiles of numbers, and categories
    # repeated in proportion.
    middle = ((np.arange(kept) + 0.5) / max(kept, 1) * len(present)).astype(int)
    if values.dtype.is_numeric():
        picked = pd.Series(present.sort().gather(middle).to_numpy())
    else:
        counts = present.value_counts().sort(values.name)
        category = counts[values.name].to_numpy().astype(object)
        picked = pd.Series(category[np.searchsorted(counts["count"].cum_sum(), middle, side="right")], dtype=object)
    return picked.reindex(range(size))


def compare(use_case: UseCase, profile: Profile, current: pd.DataFrame) -> tuple[list[ColumnDrift], str]:
    """Hold a partition against the champion's profile.

    Args:
        current: The rows as the champion saw them.

    Returns:
        A row a column, and Evidently's report as a self-contained HTML page.
    """
    policy: DriftPolicy = use_case.drift
    columns = [str(name) for name in profile.rows if name in current]
    now = compress(pl.from_pandas(current[columns]))
    comparable = [name for name in columns if now[name].notna().any() and profile.rows[name].notna().any()]
    limits = {name: profile.reference[name] * policy.ratio for name in comparable}
    methods = {name: _method(profile.rows[name]) for name in columns}
    numbers = [name for name in comparable if _is_number(profile.rows[name])]
    definition = DataDefinition(
        numerical_columns=numbers, categorical_columns=[name for name in comparable if name not in numbers]
    )
    report = Report([ValueDrift(column=name, method=methods[name], threshold=limits[name]) for name in comparable])
    snapshot = report.run(
        Dataset.from_pandas(now[comparable], definition), Dataset.from_pandas(profile.rows[comparable], definition)
    )
    distances = {
        name: float(metric["value"]) for name, metric in zip(comparable, snapshot.dict()["metrics"], strict=True)
    }
    found = []
    for name in columns:
        distance = distances.get(name, float("nan"))
        emptied = name not in distances and profile.rows[name].notna().any()
        ratio = distance / profile.reference[name] if name in distances else float("inf") if emptied else 0.0
        found.append(
            ColumnDrift(
                column=name,
                method=methods[name],
                distance=distance,
                reference=profile.reference[name],
                ratio=ratio,
                importance=profile.importance.get(name, 0.0),
                drifted=ratio > policy.ratio,
            )
        )
    return found, _html(snapshot)


def score(found: list[ColumnDrift]) -> float:
    """The drifted columns' share in the champion's skill, 0 to 1."""
    return float(sum(column.importance for column in found if column.drifted))


def importances(use_case: UseCase, predict: Predict, features: pd.DataFrame, label: pd.Series) -> dict[str, float]:
    """Each column's share in a model's skill: the gate metric lost when the column is shuffled.

    Permutation importance (Breiman 2001) on at most 5,000 rows of the holdout, with a fixed seed; shares sum to 1.
    """
    # The seed is fixed, not the run's: importance describes a model and must not change when it is described twice.
    random = np.random.default_rng(0)
    rows = np.sort(random.permutation(len(features))[:5_000])
    sample, truth = features.iloc[rows], label.iloc[rows].to_numpy()
    metric = use_case.gate.metric
    whole = metrics.one(use_case, metric, truth, predict(sample))
    if whole is None:
        return dict.fromkeys(features.columns, 1 / len(features.columns))
    lost: dict[str, float] = {}
    # A prediction costs less in one large call than in many small ones.
    step = max(1, PREDICTED_AT_ONCE // len(sample))
    for first in range(0, len(features.columns), step):
        names = features.columns[first : first + step]
        shuffled = [sample.assign(**{name: sample[name].to_numpy()[random.permutation(len(sample))]}) for name in names]
        predictions = np.split(predict(pd.concat(shuffled, ignore_index=True)), len(names))
        for name, prediction in zip(names, predictions, strict=True):
            left = metrics.one(use_case, metric, truth, prediction)
            lost[name] = max(0.0, metrics.gain(metric, whole, left)) if left is not None else 0.0
    total = sum(lost.values())
    return {name: value / total if total else 1 / len(lost) for name, value in lost.items()}


def _windows(use_case: UseCase, rows: pl.DataFrame) -> list[pl.DataFrame]:
    """The training rows in windows of time: one a partition, or equal spans where there are few partitions."""
    partitions = rows["event_timestamp"].dt.truncate(use_case.cadence.every)
    if partitions.n_unique() < _MIN_WINDOWS:
        span = rows["event_timestamp"].dt.epoch("us")
        low, high = int(span.min()), int(span.max())  # type: ignore[arg-type]
        partitions = (span - low) * _MIN_WINDOWS // (high - low + 1)
    return rows.with_columns(__window=partitions).partition_by("__window", include_key=False, maintain_order=True)


def _distance(reference: pd.Series, current: pd.Series) -> float:
    reference, current = reference.dropna(), current.dropna()
    if reference.empty or current.empty:
        return 0.0
    if _is_number(reference):
        return float(wasserstein_stat_test(reference, current, ColumnType.Numerical, None).drift_score)
    return float(jensenshannon_stat_test(reference, current, ColumnType.Categorical, None).drift_score)


def _method(values: pd.Series) -> str:
    return "wasserstein" if _is_number(values) else "jensenshannon"


def _is_number(values: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)


def _html(snapshot: Any) -> str:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "report.html"
        snapshot.save_html(str(path))
        return path.read_text()
