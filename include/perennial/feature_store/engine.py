"""Feast's local batch engine, streaming: a batch of rows is read, serialized, written, and then forgotten.

Feast's own reads the whole interval into memory, goes through NumPy, where an integer beside a null becomes a float,
and builds a protobuf object for every value. Here Arrow's columns are serialized as they are, for the stores of
`perennial.feature_store.online`; any other online store gets Feast's own rows, with exact integers. Views that Feast
computes while it materializes (transformations, aggregations) are left to Feast's engine.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, cast

import pyarrow as pa
from feast.data_source import DataSource
from feast.feature_view import FeatureView
from feast.infra.common.materialization_job import MaterializationJobStatus, MaterializationTask
from feast.infra.compute_engines.backends.base import DataFrameBackend
from feast.infra.compute_engines.dag.context import ColumnInfo
from feast.infra.compute_engines.local.compute import LocalComputeEngine, LocalComputeEngineConfig
from feast.infra.compute_engines.local.feature_builder import LocalFeatureBuilder
from feast.infra.compute_engines.local.job import LocalMaterializationJob
from feast.infra.compute_engines.utils import create_offline_store_retrieval_job
from feast.infra.offline_stores.offline_store import RetrievalJob
from feast.infra.registry.base_registry import BaseRegistry

from perennial.feature_store import _compat
from perennial.feature_store.online.base import NewestOnlineStore
from perennial.feature_store.online.rows import OnlineRows

_BATCH = 10_000


class StreamingComputeEngineConfig(LocalComputeEngineConfig):
    """`batch_engine:` in feature_store.yaml."""

    type: Literal["perennial.feature_store.engine.StreamingComputeEngine"] = (
        "perennial.feature_store.engine.StreamingComputeEngine"  # type: ignore[assignment]
    )

    backend: str | None = "polars"
    """What Feast's own engine computes views with."""


class StreamingMaterializationJob(LocalMaterializationJob):
    """A materialization that ended.

    Attributes:
        rows: Entities written.
    """

    rows: int = 0


class StreamingComputeEngine(_compat.EngineHook, LocalComputeEngine):
    """Batches of `materialization: online_write_batch_size` rows from the offline store straight to the online one."""

    def __init__(self, backend: str | None = "polars", **kwargs: Any) -> None:
        super().__init__(backend=backend, **kwargs)

    def materialize_one(self, registry: BaseRegistry, task: MaterializationTask) -> LocalMaterializationJob | None:
        """Bring each entity's newest row of an interval online.

        Args:
            registry: Feast's registry.
            task: The view and the interval.

        Returns:
            The job, with its error if it failed; None for a view that Feast computes.
        """
        view = task.feature_view
        if _is_computed(view) or not view.online or view.offline:
            return None
        name, written = f"{view.name}-{task.start_time}-{task.end_time}", 0
        try:
            # The next batch is read and serialized while the store is busy with this one.
            with ThreadPoolExecutor(max_workers=1) as ahead:
                batches = self._batches(registry, task)
                upcoming = ahead.submit(next, batches, None)
                while (rows := upcoming.result()) is not None:
                    upcoming = ahead.submit(next, batches, None)
                    self._write(view, rows)
                    written += len(rows)
            job = StreamingMaterializationJob(name, MaterializationJobStatus.SUCCEEDED)
        except Exception as error:
            job = StreamingMaterializationJob(name, MaterializationJobStatus.ERROR, error)
        job.rows = written
        return job

    def write_table(self, view: FeatureView, rows: pa.Table) -> int | None:
        """Bring rows online as they are, of each entity the newest; return how many entities those are.

        Args:
            view: The view.
            rows: Rows of its source, whose names they have.

        Returns:
            How many entities were written; None, and nothing is done, for a view that Feast computes.
        """
        if _is_computed(view) or not view.online or view.offline:
            return None
        online = self.serialized(view, rows)
        for chunk in online.chunks(self.repo_config.materialization_config.online_write_batch_size or _BATCH):
            self._write(view, chunk)
        return len(online)

    def serialized(self, view: FeatureView, rows: pa.Table) -> OnlineRows:
        """Rows as they would be written online, of each entity the newest.

        Args:
            view: The view.
            rows: Rows of its source, whose names they have.

        Raises:
            BadFeatures: a value does not fit the type that the view declares.
        """
        names = cast(DataSource, view.batch_source).field_mapping
        rows = rows.rename_columns([names.get(name, name) for name in rows.column_names])
        for batch in rows.to_batches():
            _compat.check_vector_lengths(batch, view)
        return OnlineRows.of_arrow(rows, view, self.repo_config.entity_key_serialization_version)

    def _batches(self, registry: BaseRegistry, task: MaterializationTask) -> Iterator[OnlineRows]:
        """Each entity's newest row in the task's interval, serialized."""
        # Asked for columns only, a builder needs no backend to compute with.
        builder = LocalFeatureBuilder(registry, task, backend=cast(DataFrameBackend, None))
        columns: ColumnInfo = builder.get_column_info(task.feature_view)
        job = create_offline_store_retrieval_job(
            data_source=cast(DataSource, task.feature_view.batch_source),
            context=self.get_execution_context(registry, task),
            start_time=task.start_time,
            end_time=task.end_time,
            column_info=columns,
        )
        size = self.repo_config.materialization_config.online_write_batch_size or _BATCH
        names = columns.field_mapping or {}
        for batch in _read(job, size):
            batch = batch.rename_columns([names.get(name, name) for name in batch.schema.names])
            _compat.check_vector_lengths(batch, task.feature_view)
            yield OnlineRows.of_arrow(batch, task.feature_view, self.repo_config.entity_key_serialization_version)

    def _write(self, view: FeatureView, rows: OnlineRows) -> None:
        if isinstance(self.online_store, NewestOnlineStore):
            self.online_store.write_rows(self.repo_config, view, rows)
        else:
            data = rows.to_feast(self.repo_config.entity_key_serialization_version)
            self.online_store.online_write_batch(self.repo_config, view, data, lambda _: None)


def _is_computed(view: FeatureView) -> bool:
    """Whether rows must be computed, not only read."""
    return bool(
        getattr(view, "feature_transformation", None)
        or getattr(view, "aggregations", None)
        or getattr(view, "source_views", None)
        or getattr(view, "filter", None)
        or getattr(view, "enable_validation", False)
    )


def _read(job: RetrievalJob, size: int) -> Iterator[pa.RecordBatch]:
    """The rows of a retrieval, at most `size` at a time; streamed if the offline store can."""
    stream = getattr(job, "to_arrow_batches", None)
    for batch in stream() if stream is not None else job.to_arrow().to_batches():
        for start in range(0, batch.num_rows, size):
            yield batch.slice(start, size)
