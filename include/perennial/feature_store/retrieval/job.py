"""`LakeRetrievalJob`: what Feast's callers get back, a query that runs when its result is asked for in some form."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol
from uuid import uuid4

import pandas as pd
import polars as pl
import pyarrow as pa
from feast.infra.offline_stores.offline_store import RetrievalJob, RetrievalMetadata
from feast.on_demand_feature_view import OnDemandFeatureView
from feast.repo_config import RepoConfig
from feast.saved_dataset import SavedDatasetStorage

from perennial.errors import BadFeatures
from perennial.feature_store.storage import parquet_files, writing

#: Rows a batch.
BATCH_ROWS = 131_072


class Query(Protocol):
    """What a job computes."""

    def table(self) -> pa.Table:
        """All rows, in memory."""

    def batches(self, rows: int) -> Iterator[pa.Table]:
        """The same rows, at most `rows` at a time; at least one table, if an empty one."""


@dataclass(frozen=True)
class LakeRetrievalJob(RetrievalJob):
    """A retrieval that has not run yet.

    Beside Feast's own forms of the result, `to_polars` and `to_arrow_batches`.

    Attributes:
        query: What to compute.
        config: The feature store's configuration.
        views_on_demand: Transformations of the result.
        full_names: Whether features are called `<view>__<feature>`.
        describe: Returns what Feast wants to know of the request; None: nothing can be said.
    """

    query: Query
    config: RepoConfig
    views_on_demand: list[OnDemandFeatureView]
    full_names: bool = False
    describe: Callable[[], RetrievalMetadata] | None = None

    def to_arrow_batches(self, rows: int = BATCH_ROWS) -> Iterator[pa.RecordBatch]:
        """The result, at most `rows` at a time, in order of time.

        No more of it is in memory than it takes to join one time slice of entity rows. On-demand transformations see
        one batch at a time.
        """
        for table in self._tables(rows):
            yield from table.combine_chunks().to_batches() or [pa.RecordBatch.from_pylist([], table.schema)]

    def to_polars(self) -> pl.DataFrame:
        """The result as a Polars frame."""
        return pl.DataFrame(self.to_arrow())

    def persist(self, storage: SavedDatasetStorage, allow_overwrite: bool = False, timeout: int | None = None) -> None:
        """Store the result, in order of time: in a file batch by batch, in a table of the lake in one commit.

        Args:
            storage: The file or table.
            allow_overwrite: Replace what is there.
            timeout: Ignored; Feast passes it.

        Raises:
            SavedDatasetLocationAlreadyExists: there is something, and `allow_overwrite` is not set.
            BadFeatures: the storage is of a kind that cannot be written to.
        """
        writing.save(self.config, storage, self._tables(BATCH_ROWS), allow_overwrite)

    def supports_remote_storage_export(self) -> bool:
        """Whether `to_remote_storage` has a place to write to."""
        return bool(self.config.offline_store.staging_location)

    def to_remote_storage(self) -> list[str]:
        """Write the result to Parquet files of about `staging_rows` rows below the configured `staging_location`.

        Returns:
            The files' addresses.

        Raises:
            BadFeatures: no `staging_location` is configured.
        """
        staging = self.config.offline_store.staging_location
        if not staging:
            raise BadFeatures(
                "There is no place to export the retrieval to.",
                "Set `staging_location` of the offline store in feature_repo/feature_store.yaml.",
            )
        folder = f"{staging.rstrip('/')}/{uuid4().hex}"
        written = []
        for number, table in enumerate(self._tables(self.config.offline_store.staging_rows)):
            path = f"{folder}/part-{number:05}.parquet"
            filesystem, name = parquet_files.located(path, self.config.repo_path)
            parquet_files.write(filesystem, name, [table], table.schema)
            written.append(path)
        return written

    def to_sql(self) -> str:
        """Not available.

        Raises:
            BadFeatures: always.
        """
        raise BadFeatures("A retrieval from the lake is no SQL statement.", "Use to_arrow, to_df or to_arrow_batches.")

    @property
    def full_feature_names(self) -> bool:
        """Whether features are called `<view>__<feature>`."""
        return self.full_names

    @property
    def on_demand_feature_views(self) -> list[OnDemandFeatureView]:
        """Transformations of the result."""
        return self.views_on_demand

    @property
    def metadata(self) -> RetrievalMetadata | None:
        """What was asked for; None if that is not known."""
        return self.describe() if self.describe else None

    # Feast's name for what a job must implement.

    def _to_arrow_internal(self, timeout: int | None = None) -> pa.Table:
        return self.query.table()

    def _to_df_internal(self, timeout: int | None = None) -> pd.DataFrame:
        return self.query.table().to_pandas()

    def _tables(self, rows: int) -> Iterator[pa.Table]:
        for table in self.query.batches(rows):
            if self.views_on_demand:
                job = LakeRetrievalJob(
                    _FinishedQuery(table), self.config, self.views_on_demand, self.full_names, self.describe
                )
                yield job.to_arrow()
            else:
                yield table


@dataclass(frozen=True)
class _FinishedQuery:
    """A query that has run already."""

    result: pa.Table

    def table(self) -> pa.Table:
        return self.result

    def batches(self, rows: int) -> Iterator[pa.Table]:
        yield self.result
