"""Reads a feature view's source, a lake table or Parquet files: only the columns, times and keys asked for."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import reduce

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from feast.data_source import DataSource
from feast.feature_view import FeatureView
from feast.infra.offline_stores.file_source import FileSource
from feast.repo_config import RepoConfig

from perennial._common.storage import explaining
from perennial.errors import BadFeatures
from perennial.feature_store.source import LakeSource
from perennial.feature_store.storage import lake_dataset, parquet_files

#: How many rows of a scan are in flight at a time: files have row groups of any size.
BATCH_ROWS = 131_072


def lake_source(source: DataSource | None, reader: str) -> LakeSource:
    """A source that must be a table of the lake.

    Args:
        source: Any source, or none.
        reader: Whose source it is, for errors.

    Raises:
        BadFeatures: it is not a table of the lake.
    """
    if isinstance(source, LakeSource):
        return source
    raise BadFeatures(
        f"{reader} reads a {type(source).__name__}, not a table of the lake.",
        "Use perennial.feature_store.source.LakeSource in feature_repo/.",
    )


def source_of(view: FeatureView) -> DataSource:
    """The source with a view's rows.

    Raises:
        BadFeatures: it has none.
    """
    if view.batch_source is None:
        raise BadFeatures(
            f"Feature view {view.name!r} has no batch source.",
            "Give it one in feature_repo/: `source=LakeSource(...)`.",
        )
    return view.batch_source


@dataclass(frozen=True)
class Scan:
    """A stored table in one version, whatever is written to it meanwhile.

    Attributes:
        dataset: What it holds. Its files' bounds of time, where known, are their partition expressions.
        reader: Who reads, for errors.
        where: What holds it, for errors.
    """

    dataset: ds.Dataset
    reader: str
    where: str

    @property
    def schema(self) -> pa.Schema:
        """Its columns."""
        return self.dataset.schema

    def rows(self, time: str, start: datetime | None, end: datetime | None) -> int:
        """At most how many rows have a time in [start, end], by the files' own statistics.

        Args:
            time: The column of times.
            start: Inclusive, UTC; None: from the beginning.
            end: Inclusive, UTC; None: to the end.

        Raises:
            BadFeatures: `time` holds no timestamps.
            DamagedFile: a file cannot be read.
        """
        condition = self._filter(time, start, end, None, None)
        count = 0
        with explaining(f"{self.reader}, {self.where}"):
            for fragment in self.dataset.get_fragments(filter=condition):
                if condition is not None and isinstance(fragment, ds.ParquetFileFragment):
                    count += sum(group.num_rows for group in fragment.subset(condition, schema=self.schema).row_groups)
                else:
                    count += fragment.count_rows()
        return count

    def width(self, columns: Sequence[str]) -> int:
        """About how many bytes a row of these columns takes in memory."""
        return sum(_width(self.schema.field(name).type) for name in columns)

    def check(self, columns: Sequence[str]) -> None:
        """Check that the columns exist.

        Raises:
            BadFeatures: one does not.
        """
        missing = [name for name in columns if name not in self.schema.names]
        if missing:
            raise BadFeatures(
                f"{self.reader} names column {missing[0]!r}, which {self.where} does not have.",
                f"Its columns are {', '.join(self.schema.names)}. Fix the schema in feature_repo/, or the transform.",
            )

    def read(
        self,
        columns: Sequence[str],
        *,
        time: str,
        start: datetime | None = None,
        end: datetime | None = None,
        before: datetime | None = None,
        keys: Mapping[str, pa.Array] | None = None,
    ) -> pa.Table:
        """Rows, in one chunk a column and in no particular order.

        Args:
            columns: What to read; nothing means everything.
            time: The column that the next three (UTC) bound.
            start: Inclusive; None: from the beginning.
            end: Inclusive; None: to the end.
            before: Exclusive; None: to the end.
            keys: Only rows whose value in each of these columns is one of the given ones.

        Raises:
            BadFeatures: there is no such column, or `time` holds no timestamps.
            DamagedFile: a file cannot be read.
        """
        names = list(dict.fromkeys(columns)) or self.schema.names
        self.check([*names, time])
        with explaining(f"{self.reader}, {self.where}"):
            return self.dataset.to_table(names, filter=self._filter(time, start, end, before, keys)).combine_chunks()

    def batches(
        self,
        columns: Sequence[str],
        *,
        time: str,
        start: datetime | None = None,
        end: datetime | None = None,
        before: datetime | None = None,
        keys: Mapping[str, pa.Array] | None = None,
    ) -> Iterator[pa.Table]:
        """The same rows, some at a time, with little read ahead.

        Args:
            columns: As for `read`.
            time: As for `read`.
            start: As for `read`.
            end: As for `read`.
            before: As for `read`.
            keys: As for `read`.

        Raises:
            BadFeatures: as for `read`.
            DamagedFile: as for `read`.
        """
        names = list(dict.fromkeys(columns)) or self.schema.names
        self.check([*names, time])
        scanner = self.dataset.scanner(
            names,
            filter=self._filter(time, start, end, before, keys),
            batch_size=BATCH_ROWS,
            batch_readahead=2,
            fragment_readahead=1,
        )
        with explaining(f"{self.reader}, {self.where}"):
            for batch in scanner.to_batches():
                yield pa.Table.from_batches([batch])

    def _filter(
        self,
        time: str,
        start: datetime | None,
        end: datetime | None,
        before: datetime | None,
        keys: Mapping[str, pa.Array] | None,
    ) -> pc.Expression | None:
        conditions = [ds.field(name).isin(values) for name, values in (keys or {}).items()]
        if start is not None:
            conditions.append(ds.field(time) >= _scalar(start, self._time_type(time)))
        if end is not None:
            conditions.append(ds.field(time) <= _scalar(end, self._time_type(time)))
        if before is not None:
            conditions.append(ds.field(time) < _scalar(before, self._time_type(time)))
        return reduce(operator.and_, conditions) if conditions else None

    def _time_type(self, time: str) -> pa.TimestampType:
        kind = self.schema.field(time).type
        if not pa.types.is_timestamp(kind):
            raise BadFeatures(
                f"{self.reader}: column {time!r} of {self.where} is {kind}, not a timestamp.",
                "Name a column of timestamps as timestamp_field, or store it as one.",
            )
        return kind


def open_scan(source: DataSource | None, config: RepoConfig, reader: str = "") -> Scan:
    """Open a source as it is now, or in the snapshot that the configuration names for its table.

    Args:
        source: A `LakeSource` or Feast's `FileSource`.
        config: The feature store's configuration.
        reader: Who reads, for errors; the source itself by default.

    Raises:
        BadFeatures: there is no such table or file, or it is a source of another kind.
    """
    if isinstance(source, LakeSource):
        reader = reader or f"Lake source {source.name!r}"
        snapshots = getattr(config.offline_store, "snapshots", {})
        dataset = lake_dataset.open_dataset(source.table, source.timestamp_field, snapshots.get(source.table))
        if dataset is None:
            raise BadFeatures(
                f"{reader} reads lake table {source.table!r}, which does not exist.",
                f"Run the features pipeline for it, or fix `table=` in {source.file}.",
            )
        return Scan(dataset, reader, f"lake table {source.table!r}")
    if isinstance(source, FileSource):
        reader = reader or f"File source {source.name!r}"
        return Scan(parquet_files.open_source(source, config.repo_path, reader), reader, f"{source.path}")
    raise BadFeatures(
        f"{reader or 'A feature view'} reads a {type(source).__name__}, which this offline store cannot.",
        "Use perennial.feature_store.source.LakeSource, or Feast's own FileSource, in feature_repo/.",
    )


def _scalar(moment: datetime, kind: pa.TimestampType) -> pa.Scalar:
    """A time as the column has it: without a zone a column is UTC."""
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    moment = moment if kind.tz else moment.replace(tzinfo=None)
    return pa.scalar(moment, pa.timestamp("us", kind.tz))


def _width(kind: pa.DataType) -> int:
    try:
        return max(1, kind.bit_width // 8)
    except ValueError:
        return 64 if pa.types.is_nested(kind) else 24
