"""A use case's tables as pandas or Polars data frames, for notebooks. Nothing here writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from perennial import discovery, lake
from perennial._common.heavy_imports import fast_imports
from perennial.errors import InvalidParams, NotEnoughData, ServiceUnavailable

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

    from perennial.use_case import UseCase

    DataFrame = pd.DataFrame | pl.DataFrame

#: The library that a data frame is made by.
FrameKind = Literal["pandas", "polars"]


def examples(
    use_case: str, first: str | None = None, last: str | None = None, *, frame: FrameKind = "pandas"
) -> DataFrame:
    """The examples of a use case: what is to be predicted, and the label where it is known.

    Args:
        use_case: Its name, for instance `flights`.
        first: The first partition, for instance `2013-01`; None: the use case's first.
        last: The last partition, included; None: the newest.
        frame: `pandas` or `polars`.

    Returns:
        A row an example: `partition`, the example's key, `event_timestamp` (UTC, the moment of prediction), its
        request-time features, `label` and `label_timestamp` (UTC, when the label became known; both null until then).

    Raises:
        UnknownUseCase: there is no such use case.
        InvalidPartition: it has no such partition.
        NotEnoughData: no examples were computed yet.
    """
    declared = discovery.load(use_case)
    return _frame(_read(declared, declared.tables.examples, first, last), frame)


def predictions(
    use_case: str, first: str | None = None, last: str | None = None, *, frame: FrameKind = "pandas"
) -> DataFrame:
    """The predictions of a use case with the features they were made from, and the label where it is known by now.

    Args:
        use_case: Its name.
        first: The first partition; None: the use case's first.
        last: The last partition, included; None: the newest.
        frame: `pandas` or `polars`.

    Returns:
        A row a prediction, one an example: `partition`, the example's key and request-time features, every feature,
        `prediction` (probability of 1, most probable class, or predicted value), of several classes also
        `probability_<class>` for each, `model_version`, `predicted_at` (UTC, processing time), and `label`,
        `label_timestamp` as the lake holds them now.

    Raises:
        UnknownUseCase: there is no such use case.
        InvalidPartition: it has no such partition.
        NotEnoughData: nothing was predicted yet.
    """
    declared = discovery.load(use_case)
    predicted = _read(declared, declared.tables.predictions, first, last)
    key = list(declared.examples.key)
    labels = _read(declared, declared.tables.examples, first, last).select([*key, "label", "label_timestamp"])
    order = [(lake.PARTITION, "ascending"), ("event_timestamp", "ascending"), *((name, "ascending") for name in key)]
    return _frame(predicted.join(labels, keys=key, join_type="left outer").sort_by(order), frame)


def training_set(use_case: str, first: str, last: str, *, frame: FrameKind = "pandas") -> DataFrame:
    """The rows that a training run on a window would see; retrieved and checked as it does, and stored nowhere.

    Args:
        use_case: Its name.
        first: The window's first partition.
        last: The window's last partition, included.
        frame: `pandas` or `polars`.

    Returns:
        A row an example whose label matured within the window, ordered by the moment of prediction: key, request-time
        features and features as known at that moment, `label`, and `holdout` (true: kept from the fit for the gate).

    Raises:
        UnknownUseCase: there is no such use case.
        InvalidPartition: it has no such partition.
        NotEnoughData: a partition is missing, or there are too few labelled rows.
        BadFeatures: a check of the training set fails.
    """
    import pyarrow.compute as pc

    with fast_imports():
        from perennial.training import training_set as sets

    declared = discovery.load(use_case)
    retrieved = sets.retrieve(declared, declared.partition(first), declared.partition(last))
    moments = retrieved.rows["event_timestamp"]
    is_holdout = pc.greater_equal(moments, pc.cast(retrieved.holdout_start, moments.type))
    return _frame(retrieved.rows.append_column("holdout", is_holdout), frame)


def features_as_of(
    use_case: str,
    entities: DataFrame | Sequence[Mapping[str, Any]],
    at: datetime | None = None,
    *,
    frame: FrameKind = "pandas",
) -> DataFrame:
    """The features of entities as they were published at a moment, joined point in time from the offline store.

    Args:
        use_case: Its name; its feature service says which features.
        entities: The join keys of its feature views, a row an entity, and `event_timestamp` (UTC where it has no time
            zone) unless `at` is given.
        at: The moment for all rows; a time without a zone is UTC.
        frame: `pandas` or `polars`.

    Returns:
        The rows as they came, in their order, with every feature, and for each view `<view>__event_timestamp` (UTC):
        when the values became known; null where nothing was known, or what was known is older than the view's `ttl`.

    Raises:
        UnknownUseCase: there is no such use case.
        InvalidParams: rows without a moment.
        BadFeatures: a join key is missing, or the feature repository was never applied.
    """
    import pyarrow as pa

    with fast_imports():
        from perennial.feature_store import repository

    declared = discovery.load(use_case)
    rows = _arrow(entities)
    if at is not None:
        moment = pa.scalar(at if at.tzinfo else at.replace(tzinfo=UTC), pa.timestamp("us", tz="UTC"))
        if "event_timestamp" in rows.column_names:
            rows = rows.drop_columns(["event_timestamp"])
        rows = rows.append_column("event_timestamp", pa.repeat(moment, rows.num_rows))
    if "event_timestamp" not in rows.column_names:
        raise InvalidParams(
            f"features_as_of({use_case!r}): the rows have no column event_timestamp.",
            "Give the moment of each row in event_timestamp, or one moment for all: at=...",
        )
    return _frame(repository.historical_features(declared.feature_service, rows), frame)


def status(use_case: str, *, frame: FrameKind = "pandas") -> DataFrame:
    """What happened to each partition of a use case, oldest first: what `perennial status` shows.

    Args:
        use_case: Its name.
        frame: `pandas` or `polars`.

    Returns:
        A row a partition, none where nothing ran yet. The columns are those of `perennial status --json`.

    Raises:
        UnknownUseCase: there is no such use case.
        ServiceUnavailable: the lake cannot be read.
    """
    import pyarrow as pa

    from perennial.reporting import partition_status

    state = partition_status.status(discovery.load(use_case))
    if not state.is_known:
        raise ServiceUnavailable(state.hint)
    if not state.partitions:
        nothing = pa.table({each.name: pa.array([], pa.null()) for each in fields(partition_status.PartitionStatus)})
        return _frame(nothing, frame)
    return _frame(pa.Table.from_pylist([asdict(partition) for partition in state.partitions]), frame)


def _read(use_case: UseCase, table: str, first: str | None, last: str | None) -> pa.Table:
    """The rows of the partitions from `first` to `last`, the column `partition` in front."""
    start = use_case.partition(first).key if first else use_case.start
    # Keys of one cadence are as long as each other and in the order of time; this one is behind all of them.
    end = use_case.partition(last).key if last else "~"
    rows = lake.read(table, between=(start, end))
    if rows is None:
        records = table.rpartition(".")[2]
        raise NotEnoughData(
            f"Use case {use_case.name!r} has no {records} in the lake yet.",
            f"Run its pipelines first, for instance with `perennial replay {use_case.name} --from {use_case.start}`.",
        )
    names = [lake.PARTITION, *(name for name in rows.column_names if name != lake.PARTITION)]
    return rows.select(names).sort_by([(lake.PARTITION, "ascending")])


def _arrow(entities: DataFrame | Sequence[Mapping[str, Any]]) -> pa.Table:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

    if isinstance(entities, pl.DataFrame):
        return entities.to_arrow()
    if isinstance(entities, pd.DataFrame):
        return pa.Table.from_pandas(entities, preserve_index=False).replace_schema_metadata(None)
    return pa.Table.from_pylist([dict(row) for row in entities])


def _frame(rows: pa.Table, kind: FrameKind) -> DataFrame:
    if kind == "pandas":
        return rows.to_pandas()
    if kind == "polars":
        import polars as pl

        return pl.DataFrame(rows)
    raise InvalidParams(f"frame={kind!r} is unknown.", "Known: pandas, polars.")
