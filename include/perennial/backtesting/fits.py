"""One fit of a use case's estimator on a window of its history, and its predictions of every later row.

A fit is made once, whatever policies need it and however often they are replayed: its predictions are kept in a file
below the home that is named by all that they depend on. A half-written file never has that name, so a backtest that was
killed goes on where it was. Each fit runs on one thread, which gives the same predictions however many run at once.
"""

from __future__ import annotations

import hashlib
import json
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from perennial.backtesting.history import History
from perennial.lake import prediction_columns
from perennial.partitions import Partition
from perennial.registry import model_loading, provenance
from perennial.settings import settings
from perennial.training import estimator, training_set_file
from perennial.use_case import UseCase
from perennial.use_case.value import MODULE

Array = np.ndarray
_FORMAT = 1
#: A file that no backtest has used for so long is deleted by the next one.
KEPT_SECONDS = 30 * 24 * 3600
#: What the rows themselves tell of, or what does not change a fit.
_NOT_THE_RECIPE = {"use_case.py", "source.py", "transforms.py", "expectations.py", "__init__.py"}
_SECONDS = b"fit_seconds"


@dataclass(frozen=True)
class Fit:
    """What an estimator is fitted on.

    Attributes:
        first, last: Partitions of the window, both included; labels count that had matured by its end.
        until: Rows from here on are held out, by their moment of prediction (UTC); None: none is.
    """

    first: Partition
    last: Partition
    until: datetime | None = None

    @property
    def fitted_until(self) -> datetime:
        """Event time (UTC) from which on it has seen no row."""
        return self.until or self.last.end

    def rows(self, history: History) -> Array:
        """(n,) whether a row of the history is fitted on."""
        window = history.window(self.first, self.last)
        return window & history.is_before(self.until) if self.until else window

    def later(self, history: History) -> Array:
        """(n,) whether a row of the history is predicted: all that are later than those fitted on."""
        return ~history.is_before(self.fitted_until) | (history.partition > history.place(self.last))

    def __str__(self) -> str:
        return f"{self.first}..{self.last}" + ("" if self.until is None else " without its holdout")


@dataclass(frozen=True)
class Predictions:
    """What a fit predicts.

    Attributes:
        values: (n,) float64, of K classes (n, K), of every row of the history; NaN where the fit may not predict.
        seconds: How long the fit took, when it was made.
    """

    values: Array
    seconds: float


def folder_of(use_case: UseCase) -> Path:
    """Where the predictions of a use case's backtests are kept."""
    return settings().home / "backtests" / use_case.name


def recipe(history: History) -> str:
    """A digest of what is fitted: the estimator's code and parameters, its inputs and the libraries."""
    use_case = history.use_case
    folder = Path(str(use_case.module("model").__file__)).parent
    # Where it holds what decisions are worth; else a module of that name may be the model's.
    others = {f"{MODULE}.py"} if use_case.value is not None and use_case.value.function is not None else set()
    code = {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*.py"))
        if file.name not in _NOT_THE_RECIPE | others
    }
    parts: list[Any] = [_FORMAT, use_case.task, use_case.params().model_dump(mode="json"), history.inputs, code]
    parts += [use_case.classes] if use_case.classes else []
    parts += [use_case.examples.weight] if use_case.examples.weight is not None else []
    return hashlib.sha256(json.dumps([*parts, provenance.lock_digest()]).encode()).hexdigest()


def file_of(history: History, recipe_digest: str, wanted: Fit) -> Path:
    """The file of a fit's predictions, named by the rows fitted on, the rows predicted and the recipe.

    Args:
        history: The rows.
        recipe_digest: Of `recipe`.
        wanted: The fit.
    """
    digests, rows, later = history.row_digests, wanted.rows(history), wanted.later(history)
    digest = hashlib.sha256(recipe_digest.encode())
    for values, mask in ((digests["features"], rows), (digests["label"], rows), (digests["features"], later)):
        digest.update(np.uint64(mask.sum()).tobytes())
        digest.update(values[mask].tobytes())
    return folder_of(history.use_case) / f"{digest.hexdigest()[:40]}.parquet"


def read(history: History, wanted: Fit, file: Path) -> Predictions | None:
    """The predictions of a fit that was made; None: it was not, or its file is damaged.

    Args:
        history: The rows.
        wanted: The fit.
        file: Its file.
    """
    try:
        stored = pq.read_table(file)
    except (OSError, pa.ArrowException):
        return None
    later = wanted.later(history)
    if stored.num_rows != later.sum():
        return None
    with suppress(OSError):  # It is deleted when nobody has used it for long.
        file.touch()
    columns = [column.to_numpy() for column in stored.columns]
    predicted = columns[0] if len(columns) == 1 else np.column_stack(columns)
    values = np.full((len(later), *predicted.shape[1:]), np.nan)
    values[later] = predicted
    return Predictions(values, float((stored.schema.metadata or {}).get(_SECONDS, b"0")))


def make(history: History, wanted: Fit, file: Path) -> None:
    """Fit, predict every later row and keep the predictions.

    Args:
        history: The rows.
        wanted: The fit.
        file: Where the predictions go.

    Raises:
        TrainingFailed: the estimator fails.
        StorageFull: there is no room for the file.
    """
    from threadpoolctl import threadpool_limits

    use_case, names = history.use_case, list(history.inputs)
    rows = history.rows.filter(pa.array(wanted.rows(history))).to_pandas()
    later = history.rows.filter(pa.array(wanted.later(history))).select(names).to_pandas()
    began = time.monotonic()
    with threadpool_limits(1):
        model, _ = estimator.fit_estimator(use_case, use_case.params(), rows, names)
        seconds = time.monotonic() - began
        predicted = model_loading.predictor(use_case, model)(later) if len(later) else _none(use_case)
    made = prediction_columns.probabilities(use_case) or (prediction_columns.PREDICTION,)
    columns = predicted.T if predicted.ndim == 2 else predicted[None, :]
    table = pa.table({name: pa.array(column) for name, column in zip(made, columns, strict=True)})
    sink = pa.BufferOutputStream()
    pq.write_table(table.replace_schema_metadata({_SECONDS: f"{seconds:.3f}".encode()}), sink, compression="zstd")
    training_set_file.store(sink.getvalue().to_pybytes(), str(file))


def _none(use_case: UseCase) -> Array:
    """Predictions of no rows."""
    return np.empty((0, len(use_case.classes) or 1))


def delete_unused(use_case: UseCase, now: float) -> int:
    """Delete files that no backtest has used for `KEPT_SECONDS`; return how many.

    Args:
        use_case: Whose files.
        now: Processing time, seconds since 1970.
    """
    deleted = 0
    for file in folder_of(use_case).glob("*.par*"):  # Also `.part`, what a killed process was writing.
        with suppress(FileNotFoundError):
            if now - file.stat().st_mtime > KEPT_SECONDS:
                file.unlink()
                deleted += 1
    return deleted
