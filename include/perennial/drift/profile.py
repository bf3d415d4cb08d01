"""The training profile: the rows a model was trained on, counted in bins and blocks of time, and kept with it."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from mlflow.exceptions import MlflowException

from perennial.drift.bins import Bins, count_by_block
from perennial.drift.importance import importances
from perennial.drift.windows import Blocks
from perennial.errors import PerennialError
from perennial.lake import prediction_columns
from perennial.registry import mlflow_artifacts, run_documents
from perennial.use_case import UseCase

#: Training rows that a model predicts for its own profile, evenly over time.
PREDICTED_ROWS = 20_000
_DESCRIPTION, _HISTOGRAMS = "profile.json", "histograms.parquet"
#: Of earlier releases.
_QUANTILES = "profile.parquet"

Predict = Callable[[pd.DataFrame], np.ndarray]


@dataclass(frozen=True)
class ColumnProfile:
    """What one column was like in training.

    Attributes:
        bins: In which it is counted.
        counts: (blocks, size) rows in each bin, by block of time.
        holdout_counts: (size,) rows of the gate's holdout in each bin: of predictions, which are closer to the labels
            on rows that the model was fitted on than on any others.
        reference: The baseline distance, where a profile of an earlier release stored it; None: from `counts`.
    """

    bins: Bins
    counts: np.ndarray
    holdout_counts: np.ndarray | None = None
    reference: float | None = None


@dataclass(frozen=True)
class Profile:
    """The rows that a model was trained on, counted.

    Attributes:
        columns: Each feature, and the predictions: of several classes the most probable one, and each probability.
        blocks: The blocks of time of all counts.
        importance: Column -> feature importance, 0 to 1.
    """

    columns: dict[str, ColumnProfile]
    blocks: Blocks
    importance: dict[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, use_case: UseCase, rows: pa.Table) -> Profile:
        """The profile of every column of `rows` but `event_timestamp`.

        Args:
            use_case: Its cadence cuts the blocks of time.
            rows: With `event_timestamp`, by which the rows are put into blocks.
        """
        times = pl.Series(rows["event_timestamp"])
        blocks, block = Blocks.of(use_case.cadence, times)
        kept = block >= 0
        rows, block = (rows, block) if kept.all() else (rows.filter(pa.array(kept)), block[kept])
        columns = {}
        for name in rows.column_names:
            if name != "event_timestamp":
                bins = Bins.of(rows[name])
                columns[name] = ColumnProfile(bins, count_by_block(bins, rows[name], block, len(blocks)))
        return cls(columns, blocks)

    @classmethod
    def of_features(cls, use_case: UseCase, rows: pa.Table, columns: list[str]) -> Profile:
        """The profile of the features of the rows that a model is fitted on; nothing of the model itself.

        Args:
            use_case: Its cadence cuts the blocks of time; its drift policy must fit the columns.
            rows: All rows to fit on, with `event_timestamp`.
            columns: The features.

        Raises:
            PerennialError: the drift policy names a column that there is not, or a method that does not fit one.
        """
        profile = cls.of(use_case, rows.select(["event_timestamp", *columns]))
        _check_policy(use_case, profile)
        return profile

    def with_model(
        self,
        use_case: UseCase,
        fit: pd.DataFrame,
        holdout: pd.DataFrame,
        predict: Predict,
        importance: dict[str, float] | None = None,
    ) -> Profile:
        """Add the importance of each column to a fitted model, and what it predicts for an even sample of rows.

        Args:
            use_case: Whose gate metric measures importance.
            fit: The rows that the model was fitted on: features and `event_timestamp`.
            holdout: The gate's rows: features and `label`.
            predict: The model, from features to predictions: see `model_loading.predictor`.
            importance: Of each column, where it is known already; None: it is measured on the holdout.
        """
        columns, made = list(self.columns), prediction_columns.names(use_case)
        sample = fit.iloc[:: len(fit) // PREDICTED_ROWS + 1]
        block = self.blocks.place(pl.Series(sample["event_timestamp"]).dt.epoch("us").to_numpy())
        fitted = prediction_columns.written(use_case, predict(sample[columns])[block >= 0])
        later = holdout.iloc[:: len(holdout) // PREDICTED_ROWS + 1]
        held_out = prediction_columns.written(use_case, predict(later[columns]))
        profiles = {}
        for name in made:
            predicted = pa.chunked_array([fitted[name]])
            bins = Bins.of(predicted)
            counts = count_by_block(bins, predicted, block[block >= 0], len(self.blocks))
            profiles[name] = ColumnProfile(bins, counts, holdout_counts=bins.count(held_out[name]))
        return replace(
            self,
            columns=self.columns | profiles,
            importance=importance if importance is not None else importances(use_case, predict, holdout, columns),
        )

    def save(self, folder: Path) -> None:
        """Write it to files in `folder`, which a training run logs as `mlflow_artifacts.DRIFT_PROFILE`."""
        pq.write_table(self._table(), folder / _HISTOGRAMS, compression="zstd")
        described = {
            "starts": self.blocks.starts.tolist(),
            "length": self.blocks.length,
            "importance": self.importance,
        }
        (folder / _DESCRIPTION).write_text(json.dumps(described))

    @classmethod
    def load(cls, use_case: UseCase, run_id: str) -> Profile:
        """The profile that a training run logged.

        Args:
            use_case: Whose training.
            run_id: The MLflow run.

        Raises:
            ChangedArtifact: it is not as the training wrote it.
            PerennialError: the run has none.
        """
        names = (_DESCRIPTION, _HISTOGRAMS, _QUANTILES)
        try:
            files = run_documents.read(use_case, run_id, [f"{mlflow_artifacts.DRIFT_PROFILE}/{name}" for name in names])
            return cls.from_files({name.rpartition("/")[2]: content for name, content in files.items()})
        except (MlflowException, OSError, KeyError) as error:
            raise PerennialError(
                f"MLflow's run {run_id} has no drift profile: {str(error)[:200]}",
                "Its artifacts were deleted or moved: restore them, or retrain, which makes a new profile.",
            ) from error

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> Profile:
        """The profile in files that `save` wrote, or an earlier release, which kept quantiles only.

        Args:
            files: The content of each by its name.

        Raises:
            KeyError: a file is missing.
        """
        described = json.loads(files[_DESCRIPTION])
        if "starts" not in described:
            return cls._of_quantiles(pd.read_parquet(io.BytesIO(files[_QUANTILES])), **described)
        histograms = pq.read_table(pa.BufferReader(files[_HISTOGRAMS]))
        columns = {row["column"]: _column(row) for row in histograms.to_pylist()}
        blocks = Blocks(np.asarray(described["starts"], dtype=np.int64), described["length"])
        return cls(columns, blocks, described["importance"])

    @classmethod
    def _of_quantiles(cls, rows: pd.DataFrame, reference: dict[str, float], importance: dict[str, float]) -> Profile:
        """A profile in its first form: quantiles of each column in no order of time, and the baseline distance."""
        columns = {}
        for name in rows:
            values = pa.chunked_array([pa.array(rows[name], from_pandas=True)])
            bins = Bins.of(values)
            columns[str(name)] = ColumnProfile(bins, bins.count(values)[None, :], reference=reference[str(name)])
        return cls(columns, Blocks(np.empty(0, dtype=np.int64), 0), importance)

    def _table(self) -> pa.Table:
        rows = [
            {
                "column": name,
                "kind": column.bins.kind,
                "edges": list(column.bins.edges),
                "centres": list(column.bins.centres),
                "names": [] if column.bins.is_whole else list(column.bins.values),
                "numbers": list(column.bins.values) if column.bins.is_whole else [],
                "complete": column.bins.complete,
                "counts": column.counts.ravel(),
                "held": column.holdout_counts,
            }
            for name, column in self.columns.items()
        ]
        return pa.Table.from_pylist(rows, schema=_SCHEMA)


_SCHEMA = pa.schema(
    {
        "column": pa.string(),
        "kind": pa.string(),
        "edges": pa.list_(pa.float64()),
        "centres": pa.list_(pa.float64()),
        "names": pa.list_(pa.string()),
        "numbers": pa.list_(pa.float64()),
        "complete": pa.bool_(),
        "counts": pa.list_(pa.int64()),
        "held": pa.list_(pa.int64()),
    }
)


def _column(row: dict[str, Any]) -> ColumnProfile:
    bins = Bins(row["kind"], row["edges"], row["centres"], row["names"] or row["numbers"], row["complete"])
    holdout_counts = None if row["held"] is None else np.asarray(row["held"])
    return ColumnProfile(bins, np.asarray(row["counts"], dtype=np.int64).reshape(-1, bins.size), holdout_counts)


def _check_policy(use_case: UseCase, profile: Profile) -> None:
    where = f"include/use_cases/{use_case.name}/use_case.py"
    columns = {*profile.columns, *prediction_columns.names(use_case), *use_case.retired_features}
    for name, policy in use_case.drift.columns.items():
        if name not in columns:
            raise PerennialError(
                f"Use case {use_case.name!r}: drift.columns names {name!r}, which is no input of its models.",
                f"Correct it in {where}; the columns are {', '.join(sorted(columns))}.",
            )
        if policy.method == "wasserstein" and name in profile.columns and profile.columns[name].bins.kind != "number":
            raise PerennialError(
                f"Use case {use_case.name!r}: drift.columns wants {policy.method} for {name!r}, which is a category.",
                f"Choose jensenshannon, hellinger or psi in {where}.",
            )
