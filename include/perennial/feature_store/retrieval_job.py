"""A retrieval that has not run yet, and the forms its result can take."""

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
from perennial.feature_store import files, writing

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

    Beside Feast's own forms, `to_polars` and `to_arrow_batches`.

    Args:
        query: What to compute.
        config: The feature store's configuration.
        views_on_demand: Transformations of the result.
        full_names: Whether features are called `<view>__<feature>`.
        about: Says what was asked for; None: nothing can be said.
    """

    query: Query
    config: RepoConfig
    views_on_demand: list[OnDemandFeatureView]
    full_names: bool = False
    about: Callable[[], RetrievalMetadata] | None = None

    def to_arrow_batches(self, rows: int = BATCH_ROWS) -> Iterator[pa.RecordBatch]:
        """The result, at most `rows` at a time, in order of time: no more of it is in memory than it takes to join one
        stretch of examples. On-demand transformations see one batch at a time."""
        for table in self._tables(rows):
            yield from table.combine_chunks().to_batches() or [pa.RecordBatch.from_pylist([], table.schema)]

    def to_polars(self) -> pl.DataFrame:
        """The result as a Polars frame."""
        return pl.DataFrame(self.to_arrow())

    def persist(self, storage: SavedDatasetStorage, allow_overwrite: bool = False, timeout: int | None = None) -> None:
        """Store the result, in order of time: in a file as it comes, in a table of the lake in one commit.

        Raises:
            SavedDatasetLocationAlreadyExists: there is something, and `allow_overwrite` is not set.
        """
        writing.save(self.config, storage, self._tables(BATCH_ROWS), allow_overwrite)

    def supports_remote_storage_export(self) -> bool:
        return bool(self.config.offline_store.staging_location)

    def to_remote_storage(self) -> list[str]:
        """Write the result to Parquet files of about `staging_rows` rows below the configured `staging_location`.

        Raises:
            BadFeatures: there is none.
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
            filesystem, name = files.located(path, self.config.repo_path)
            files.write(filesystem, name, [table], table.schema)
            written.append(path)
        return written

    def to_sql(self) -> str:
        raise BadFeatures("A retrieval from the lake is no SQL statement.", "Use to_arrow, to_df or to_arrow_batches.")

    @property
    def full_feature_names(self) -> bool:
        return self.full_names

    @property
    def on_demand_feature_views(self) -> list[OnDemandFeatureView]:
        return self.views_on_demand

    @property
    def metadata(self) -> RetrievalMetadata | None:
        return self.about() if self.about else None

    def _to_arrow_internal(self, timeout: int | None = None) -> pa.Table:
        return self.query.table()

    def _to_df_internal(self, timeout: int | None = None) -> pd.DataFrame:
        return self.query.table().to_pandas()

    def _tables(self, rows: int) -> Iterator[pa.Table]:
        for table in self.query.batches(rows):
            if self.views_on_demand:
                done = LakeRetrievalJob(_Done(table), self.config, self.views_on_demand, self.full_names, self.about)
                yield done.to_arrow()
            else:
                yield table


@dataclass(frozen=True)
class _Done:
    """A query that has run."""

    result: pa.Table

    def table(self) -> pa.Table:
        return self.result

    def batches(self, rows: int) -> Iterator[pa.Table]:
        yield self.result
