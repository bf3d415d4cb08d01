"""Training sets: point-in-time-correct rows, checked, immutable, named by the digest of their content."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from perennial import lake, validation
from perennial.dag_names import FEATURES, dag_id
from perennial.errors import BadFeatures, NotEnoughData
from perennial.evaluation import slices
from perennial.feature_store import columns, computations, repository
from perennial.feature_store.publication import AT_ONCE, Publication
from perennial.feature_store.storage.arrow_columns import one_chunk
from perennial.lake import labels
from perennial.partitions import Partition
from perennial.settings import settings
from perennial.training import estimator, stale_partitions, training_set_file
from perennial.use_case import UseCase
from perennial.use_case.declarations import Declaration


class TrainingSet(Declaration):
    """A stored training set.

    Rows before `holdout_start` (by the moment of prediction) are for fitting, the rest for the gate. Every label
    matured before `end`.

    Attributes:
        digest: SHA-256 of the file, and its name.
        path: The Parquet file: examples, features, label.
        start, holdout_start, end: Event time, UTC.
        rows: Number of rows.
        unlabelled: Examples of the window whose label had not matured by its end; None: not recorded.
        snapshots: Lake table -> the snapshot that its rows were read from.
    """

    digest: str
    path: str
    start: datetime
    holdout_start: datetime
    end: datetime
    rows: int
    unlabelled: int | None = None
    snapshots: dict[str, int]

    @cached_property
    def table(self) -> pa.Table:
        """All rows, ordered by the moment of prediction.

        Raises:
            BadFeatures: the file's content is not what its name says.
        """
        return training_set_file.read(self.path, self.digest)

    @cached_property
    def fit_table(self) -> pa.Table:
        """The rows to fit on."""
        return rows_to_fit(self.table, self.holdout_start)

    @cached_property
    def fit(self) -> pd.DataFrame:
        """The rows to fit on."""
        return self.fit_table.to_pandas()

    @cached_property
    def holdout(self) -> pd.DataFrame:
        """The rows of the holdout."""
        return rows_to_judge(self.table, self.holdout_start).to_pandas()

    def without_holdout(self) -> TrainingSet:
        """The same file with all its rows to fit on, as a refit needs it."""
        return TrainingSet(**self.model_dump() | {"holdout_start": self.end})


@dataclass(frozen=True)
class Retrieved:
    """A training set that was retrieved and checked, and is stored nowhere yet.

    Attributes:
        rows: Examples, features, label, ordered by the moment of prediction.
        content: They as a Parquet file.
        unlabelled: Examples of the window whose label had not matured by its end.
        snapshots: Lake table -> the snapshot that its rows were read from.
    """

    rows: pa.Table
    content: bytes
    holdout_start: datetime
    unlabelled: int
    snapshots: dict[str, int]

    @property
    def digest(self) -> str:
        """SHA-256 of the file."""
        return hashlib.sha256(self.content).hexdigest()


def rows_to_fit(rows: pa.Table, holdout_start: datetime) -> pa.Table:
    """The rows to fit on: those whose moment of prediction is before the holdout.

    Args:
        rows: With `event_timestamp`.
        holdout_start: Event time, UTC.
    """
    moments = rows["event_timestamp"]
    return rows.filter(pc.less(moments, pa.scalar(holdout_start, moments.type)))


def rows_to_judge(rows: pa.Table, holdout_start: datetime) -> pa.Table:
    """The rows of the holdout, for the gate.

    Args:
        rows: With `event_timestamp`.
        holdout_start: Event time, UTC.
    """
    moments = rows["event_timestamp"]
    return rows.filter(pc.greater_equal(moments, pa.scalar(holdout_start, moments.type)))


def build(
    use_case: UseCase,
    first: Partition,
    last: Partition,
    *,
    snapshots: Mapping[str, int] | None = None,
    known_at_the_time: bool = True,
) -> TrainingSet:
    """Retrieve, check and store the training set of the partitions from `first` to `last`, both included.

    Args:
        use_case: Whose examples and features.
        first: First partition of the window.
        last: Its last partition, included.
        snapshots: Those an earlier set names: it is built again, to the byte, whatever was corrected since. None: the
            current ones.
        known_at_the_time: See only feature rows that were also written by an example's moment, where their source says
            when that was.

    Raises:
        NotEnoughData: a partition is missing, or too few labelled rows.
        BadFeatures: a check fails: rows lost or multiplied, a feature from after its row's time, the GX suite, the
            weights, or the gate names a column that is not there; a label is no declared class; or an earlier version
            of the transforms computed a partition.
    """
    retrieved = retrieve(use_case, first, last, snapshots=snapshots, known_at_the_time=known_at_the_time)
    path = f"{settings().training_sets}/{use_case.name}/{retrieved.digest}.parquet"
    training_set_file.store(retrieved.content, path)
    return TrainingSet(
        digest=retrieved.digest,
        path=path,
        start=first.start,
        holdout_start=retrieved.holdout_start,
        end=last.end,
        rows=retrieved.rows.num_rows,
        unlabelled=retrieved.unlabelled,
        snapshots=retrieved.snapshots,
    )


def retrieve(
    use_case: UseCase,
    first: Partition,
    last: Partition,
    *,
    snapshots: Mapping[str, int] | None = None,
    known_at_the_time: bool = True,
    features: Collection[str] | None = None,
) -> Retrieved:
    """Retrieve and check, as `build` does, and store nothing.

    Args:
        use_case: Whose examples and features.
        first: First partition of the window.
        last: Its last partition, included.
        snapshots: As for `build`.
        known_at_the_time: As for `build`.
        features: Those that an earlier set has, where it is built again: the service may have others by now. None: all.

    Raises:
        NotEnoughData: as for `build`.
        BadFeatures: as for `build`.
    """
    is_new = snapshots is None
    if is_new:
        stale_partitions.check_window(use_case, first, last)
    tables = repository.lake_tables(use_case.feature_service)
    identifiers = [*tables.values(), use_case.tables.examples]
    # Snapshots are taken before anything is read, so that the set can be rebuilt whatever is written meanwhile.
    snapshots = dict(snapshots) if snapshots is not None else lake.snapshots(identifiers)
    examples = read_examples(use_case, first, last, snapshots.get(use_case.tables.examples))
    count, examples = examples.num_rows, labelled(use_case, examples, last.end)
    labels.check_declared(use_case, examples["label"], f"Use case {use_case.name!r}, window {first}..{last}")
    unlabelled = count - examples.num_rows
    feature_snapshots = {name: number for name, number in snapshots.items() if name in tables.values()}
    rows = repository.historical_features(
        use_case.feature_service,
        examples,
        snapshots=feature_snapshots,
        known_at_the_time=known_at_the_time,
        features=features,
    )
    kept = rows.select([name for name in rows.column_names if columns.view_of(name) is None])
    slices.check_columns(use_case, kept.column_names)  # The gate needs them after the fit, which is long.
    if is_new:  # A set of before the weights can be built again: whether it can be fitted is told by the fit.
        # Of the holdout, too: a refit is fitted on it.
        weight = [name for name in kept.column_names if name == use_case.examples.weight]
        estimator.weights_of(use_case, kept.select(weight).to_pandas())
    holdout_start = use_case.holdout_start(first.start, last.end)
    with ThreadPoolExecutor(max_workers=1) as aside:
        encoding = aside.submit(training_set_file.encode, kept)
        check(use_case, examples, rows, repository.publications(use_case.feature_service))
        check_enough(use_case, kept, first, last, holdout_start)
        content = encoding.result()
    return Retrieved(kept, content, holdout_start, unlabelled, snapshots)


def read_examples(use_case: UseCase, first: Partition, last: Partition, snapshot: int | None) -> pa.Table:
    """All examples of the partitions from `first` to `last`, labelled or not.

    Args:
        use_case: Whose examples.
        first: First partition.
        last: Last partition, included.
        snapshot: Of the lake's table; None: the current one.

    Raises:
        NotEnoughData: a partition was never computed.
    """
    identifier = use_case.tables.examples
    examples = lake.read(identifier, between=(first.key, last.key), snapshot=snapshot)
    present = set(examples[lake.PARTITION].unique().to_pylist()) if examples is not None else set()
    absent = [partition.key for partition in first.through(last) if partition.key not in present]
    if absent:
        computed = computations.partitions_with_examples(use_case, first, last)
        absent = [key for key in absent if key not in computed]
    if examples is None or absent:
        raise NotEnoughData(
            f"Use case {use_case.name!r}: no examples of partition {', '.join(absent)} in the lake.",
            f"Run {dag_id(use_case.name, FEATURES)} for it, or narrow the window.",
        )
    return examples


def labelled(use_case: UseCase, examples: pa.Table, known_by: datetime | None) -> pa.Table:
    """The examples whose label is known, in the order of a training set.

    Args:
        use_case: Whose examples.
        examples: As `read_examples` gives them.
        known_by: Only labels that had matured by then, event time, UTC; None: all that are known now.
    """
    mature = labels.are_known(examples["label"])
    if known_by is not None:
        mature = pc.and_(mature, pc.less_equal(examples["label_timestamp"], pa.scalar(known_by)))
    order = [("event_timestamp", "ascending"), *((name, "ascending") for name in use_case.examples.key)]
    return examples.filter(pc.fill_null(mature, False)).sort_by(order)


def check(
    use_case: UseCase, examples: pa.Table, rows: pa.Table, publications: Mapping[str, Publication] | None = None
) -> None:
    """Refuse a training set that lost, multiplied or reordered rows, or that sees what was not published by then.

    Args:
        use_case: Its suite `training_set` is validated too.
        examples: The rows that features were retrieved for.
        rows: The same with features, and each view's event time.
        publications: View -> when its rows are published; at once by default.

    Raises:
        BadFeatures: naming the check that failed.
    """
    where = f"Training set of use case {use_case.name!r}"
    if rows.num_rows != examples.num_rows:
        raise BadFeatures(
            f"{where}: {examples.num_rows} examples went in, {rows.num_rows} rows came out.",
            "The offline store lost or multiplied rows; look at the views' keys in feature_repo/.",
        )
    for name in (*use_case.examples.key, "event_timestamp"):
        if not rows[name].combine_chunks().equals(examples[name].combine_chunks()):
            raise BadFeatures(
                f"{where}: column {name!r} is not what went in.", "Report this: the offline store is wrong."
            )
    for name in rows.column_names:
        view = columns.view_of(name)
        if view is not None:
            published = (publications or {}).get(view, AT_ONCE).times(one_chunk(rows[name]))
            late = pc.sum(pc.greater(published, one_chunk(rows["event_timestamp"]))).as_py()
            if late:
                raise BadFeatures(
                    f"{where}: {late} rows see values of view {view!r} before they are published.",
                    "Report this: the offline store is wrong.",
                )
    validation.validate_computed_table(use_case, "training_set", rows, None, BadFeatures)


def check_enough(use_case: UseCase, rows: pa.Table, first: Partition, last: Partition, holdout_start: datetime) -> None:
    """Refuse a window with too few rows to fit on or to hold out, or with labels of one class only.

    Args:
        use_case: Its gate says how many are needed.
        rows: Those of the window whose label had matured by its end.
        first: First partition of the window.
        last: Its last partition, included.
        holdout_start: Event time, UTC.

    Raises:
        NotEnoughData: saying what is missing.
    """
    holdout = pc.sum(pc.greater_equal(rows["event_timestamp"], pa.scalar(holdout_start))).as_py() or 0
    fit = rows.num_rows - holdout
    if fit < use_case.gate.min_rows or holdout < use_case.gate.min_rows:
        raise NotEnoughData(
            f"Use case {use_case.name!r}, window {first}..{last}: {fit} rows to fit on and {holdout} in the holdout,"
            f" {use_case.gate.min_rows} of each are needed.",
            "Widen the window, or lower gate.min_rows.",
        )
    label = labels.encoded(use_case, rows_to_fit(rows, holdout_start)["label"])
    if use_case.task != "regression" and len(np.unique(label)) < 2:
        raise NotEnoughData(
            f"Use case {use_case.name!r}, window {first}..{last}: every label to fit on is"
            f" {use_case.classes[label[0]] if use_case.classes else label[0]}.",
            "Widen the window.",
        )
