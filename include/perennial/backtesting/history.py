"""The history that policies are replayed on: its labelled rows with features as they were known, retrieved once.

A window of it holds the same rows, in the same order, as the training set of that window: an example's features depend
on its own moment of prediction, and not on the window that it is in.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from perennial import lake
from perennial.errors import NotEnoughData
from perennial.feature_store import columns, repository
from perennial.lake import labels
from perennial.partitions import Partition
from perennial.training import fit, stale_partitions, training_set, training_set_file
from perennial.use_case import UseCase

Array = np.ndarray
_EPOCH_UNIT = "datetime64[us]"


@dataclass(frozen=True, eq=False)
class History:
    """n labelled rows, ordered by the moment of prediction.

    Attributes:
        use_case: Whose history.
        partitions: Oldest first, without gaps.
        rows: Examples, features, label, as in a training set; every label that is known now.
        inputs: The model's inputs, columns of `rows`.
        examples: Partition -> number of its examples, labelled or not.
    """

    use_case: UseCase
    partitions: tuple[Partition, ...]
    rows: pa.Table
    inputs: tuple[str, ...]
    examples: dict[str, int]

    @cached_property
    def partition(self) -> Array:
        """(n,) int64, the place of each row's partition in `partitions`."""
        keys = pa.array([each.key for each in self.partitions])
        return pc.index_in(self.rows[lake.PARTITION], keys).to_numpy()

    @cached_property
    def moment(self) -> Array:
        """(n,) datetime64[us], the moment of prediction, UTC."""
        return _times(self.rows["event_timestamp"])

    @cached_property
    def known_at(self) -> Array:
        """(n,) datetime64[us], when the label became known, UTC; NaT: it does not say."""
        return _times(self.rows["label_timestamp"])

    @cached_property
    def label(self) -> Array:
        """(n,) labels, as `metrics.evaluate` takes them."""
        return labels.encoded(self.use_case, self.rows["label"])

    def place(self, partition: Partition) -> int:
        """The place of a partition in `partitions`."""
        return self.partitions.index(partition)

    def is_known(self, by: datetime) -> Array:
        """(n,) whether the label was known by a moment of event time, UTC."""
        return self.known_at <= _time(by)

    def is_before(self, moment: datetime) -> Array:
        """(n,) whether the moment of prediction is before another one, UTC."""
        return self.moment < _time(moment)

    def window(self, first: Partition, last: Partition) -> Array:
        """(n,) whether a row is in the training set of a window: its label had matured by the window's end.

        Args:
            first: First partition of the window.
            last: Its last partition, included.
        """
        inside = (self.partition >= self.place(first)) & (self.partition <= self.place(last))
        return inside & self.is_known(last.end)

    @cached_property
    def row_digests(self) -> dict[str, Array]:
        """Of the columns `features` and `label`, with the weight: (n,) uint64, a digest of each row's values."""
        weight = self.use_case.examples.weight
        return {
            "features": _digests(self.rows.select(list(self.inputs))),
            "label": _digests(self.rows.select(["label", "event_timestamp", *([weight] if weight else [])])),
        }


@dataclass(frozen=True)
class Stored:
    """A history in a file, for processes that only fit: they need neither the lake nor a feature store.

    Attributes:
        use_case: Whose.
        partitions: As of the history.
        inputs: Likewise.
        file: What `store` returned.
    """

    use_case: UseCase
    partitions: tuple[Partition, ...]
    inputs: tuple[str, ...]
    file: Path

    def load(self) -> History:
        """The history; it does not know how many examples have no label."""
        return History(self.use_case, self.partitions, pq.read_table(self.file), self.inputs, {})


def retrieve(use_case: UseCase, first: Partition, last: Partition) -> History:
    """The history from `first` to `last`, with the lake as it is now; checked like a training set.

    Args:
        use_case: Whose examples and features.
        first: First partition.
        last: Last partition, included.

    Raises:
        NotEnoughData: a partition is missing, or nothing is labelled.
        BadFeatures: as for a training set.
    """
    stale_partitions.check_window(use_case, first, last)
    tables = repository.lake_tables(use_case.feature_service)
    snapshots = lake.snapshots([*tables.values(), use_case.tables.examples])
    examples = training_set.read_examples(use_case, first, last, snapshots.get(use_case.tables.examples))
    known = training_set.labelled(use_case, examples, None)
    if not known.num_rows:
        raise NotEnoughData(
            f"Use case {use_case.name!r}: no example from {first} to {last} has a label.", "Wait until labels mature."
        )
    rows = repository.historical_features(
        use_case.feature_service,
        known,
        snapshots={name: number for name, number in snapshots.items() if name in tables.values()},
    )
    training_set.check(use_case, known, rows, repository.publications(use_case.feature_service))
    kept = rows.select([name for name in rows.column_names if columns.view_of(name) is None])
    return _of(use_case, first, last, kept, examples)


def _of(use_case: UseCase, first: Partition, last: Partition, rows: pa.Table, examples: pa.Table) -> History:
    partitions = tuple(first.through(last))
    counts = dict.fromkeys((each.key for each in partitions), 0)
    for each in examples[lake.PARTITION].value_counts().to_pylist():
        counts[each["values"]] = each["counts"]
    # As a training set is once it was stored and read.
    stored = pq.read_table(pa.BufferReader(training_set_file.encode(rows)))
    return History(use_case, partitions, stored, tuple(fit.feature_columns(use_case)), counts)


def store(history: History, folder: Path) -> Stored:
    """Write the rows where other processes can read them, to a file named by its content.

    Args:
        history: Its rows.
        folder: Where the file goes.
    """
    content = training_set_file.encode(history.rows)
    file = folder / f"history-{hashlib.sha256(content).hexdigest()[:32]}.parquet"
    training_set_file.store(content, str(file))
    return Stored(history.use_case, history.partitions, history.inputs, file)


def _times(column: pa.ChunkedArray) -> Array:
    return column.cast(pa.timestamp("us", tz="UTC")).to_numpy().astype(_EPOCH_UNIT)


def _time(moment: datetime) -> np.datetime64:
    return np.datetime64(moment.replace(tzinfo=None), "us")


def _digests(rows: pa.Table) -> Array:
    frame = rows.to_pandas()
    return pd.util.hash_pandas_object(frame, index=False).to_numpy()
