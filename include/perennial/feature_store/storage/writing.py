"""What Feast writes to the offline store: pushed feature rows, saved datasets, logs of served features.

Every write may be repeated: one that was killed and run again leaves the rows of one write.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from feast.data_source import DataSource
from feast.errors import SavedDatasetLocationAlreadyExists
from feast.feature_logging import LOG_DATE_FIELD, LoggingDestination
from feast.feature_view import DUMMY_ENTITY_ID, FeatureView
from feast.infra.offline_stores.file_source import (
    FileLoggingDestination,
    FileSource,
    SavedDatasetFileStorage,
)
from feast.repo_config import RepoConfig
from feast.saved_dataset import SavedDatasetStorage

from perennial import lake
from perennial.errors import BadFeatures
from perennial.feature_store.destinations import LakeLoggingDestination, SavedDatasetLakeStorage
from perennial.feature_store.source import LakeSource, stored_name
from perennial.feature_store.storage import lake_dataset, parquet_files
from perennial.feature_store.storage.arrow_columns import utc
from perennial.feature_store.storage.scan import source_of
from perennial.services import postgres

#: Partitions of rows that were pushed through Feast, a day of event time each. The pipelines replace their own
#: partitions, which are never called so: what was pushed stays until it is pushed again.
PUSHED = "pushed-"
_SAVED = "saved"


def push(config: RepoConfig, view: FeatureView, rows: pa.Table) -> None:
    """Add rows to a view's own table or file.

    Of rows with one key, event time and time of writing the last written stays.

    Args:
        config: The feature store's configuration.
        view: The view.
        rows: Its join keys, features and times, as its source names them.

    Raises:
        BadFeatures: a row has no event time or does not fit the table, or the source is of a kind that cannot be
            written to.
    """
    source = source_of(view)
    time = stored_name(source, source.timestamp_field)
    rows = rows.replace_schema_metadata(None)
    if rows[time].null_count:
        raise BadFeatures(
            f"Feature view {view.name!r}: {rows[time].null_count} of the rows to write have no {time!r}.",
            "Give each row the time its values became known.",
        )
    created = stored_name(source, source.created_timestamp_column) if source.created_timestamp_column else None
    keys = [stored_name(source, key) for key in view.join_keys if key != DUMMY_ENTITY_ID]
    identity = [*keys, time, *([created] if created else [])]
    if isinstance(source, LakeSource):
        stored = lake_dataset.open_dataset(source.table)
        if stored is not None:
            rows = _cast(rows, stored.schema, view.name)
        days = pc.strftime(utc(rows[time].combine_chunks()), format=f"{PUSHED}%Y-%m-%d")
        for day in sorted(days.unique().to_pylist()):
            _upsert(source.table, day, rows.filter(pc.equal(days, day)), identity)
    elif isinstance(source, FileSource):
        _add_to_files(source, config, rows, identity)
    else:
        raise _cannot_write_to(source)


def save(config: RepoConfig, storage: SavedDatasetStorage, batches: Iterator[pa.Table], overwrite: bool) -> None:
    """Store a retrieval's result; in a file batch by batch.

    Args:
        config: The feature store's configuration.
        storage: The table or file.
        batches: The result.
        overwrite: Replace what is there.

    Raises:
        SavedDatasetLocationAlreadyExists: there is something, and `overwrite` is not set.
        BadFeatures: the storage is of a kind that cannot be written to.
    """
    if isinstance(storage, SavedDatasetLakeStorage):
        stored = lake.read(storage.table, columns=(lake.PARTITION,))
        if stored is not None and stored.num_rows and not overwrite:
            raise SavedDatasetLocationAlreadyExists(location=storage.table)
        lake.replace(storage.table, _SAVED, pa.concat_tables(batches))
    elif isinstance(storage, SavedDatasetFileStorage):
        source = storage.to_data_source()
        assert isinstance(source, FileSource)  # noqa: S101 - it is one by definition
        filesystem, path = parquet_files.location(source, config.repo_path)
        if parquet_files.exists(filesystem, path) and not overwrite:
            raise SavedDatasetLocationAlreadyExists(location=source.path)
        path = path if parquet_files.is_file(path) else f"{path}/dataset.parquet"
        first = next(batches)
        parquet_files.write(filesystem, path, chain([first], batches), first.schema)
    else:
        raise _cannot_write_to(storage)


def log(config: RepoConfig, logs: pa.Table | Path, destination: LoggingDestination, schema: pa.Schema) -> None:
    """Add logs of served features. A chunk of logs is identified by its content: one that exists is not added again.

    Args:
        config: The feature store's configuration.
        logs: A table, or a folder of Parquet files; each file is a chunk.
        destination: The table or folder to add to.
        schema: The columns to keep.

    Raises:
        BadFeatures: the destination is of a kind that cannot be written to.
    """
    for chunk in _chunks(logs):
        rows = chunk.select(schema.names).cast(schema)
        name = parquet_files.digest(rows)
        if isinstance(destination, LakeLoggingDestination):
            # A partition a chunk, so that a flush never reads the flushes before it.
            for day in rows[LOG_DATE_FIELD].unique().to_pylist():
                of_day = rows.filter(pc.equal(rows[LOG_DATE_FIELD], pa.scalar(day, pa.date32())))
                lake.replace(destination.table, f"{day}-{name}", of_day)
        elif isinstance(destination, FileLoggingDestination):
            filesystem, path = parquet_files.located(
                destination.path, config.repo_path, destination.s3_endpoint_override
            )
            pq.write_to_dataset(
                rows,
                path,
                filesystem=filesystem,
                partition_cols=destination.partition_by,
                basename_template=f"{name}-{{i}}.parquet",
                existing_data_behavior="overwrite_or_ignore",
            )
        else:
            raise _cannot_write_to(destination)


def _chunks(logs: pa.Table | Path) -> Iterable[pa.Table]:
    """The logs: a table, or each file of a folder."""
    if isinstance(logs, pa.Table):
        return [logs]
    return (fragment.to_table() for fragment in ds.dataset(logs, format="parquet").get_fragments())


def _upsert(table: str, partition: str, rows: pa.Table, identity: list[str]) -> None:
    # Another name than the table's own lock, which `replace` takes meanwhile: only pushes wait for one another.
    with postgres.advisory_lock("pushed", table, partition):
        stored = lake.read(table, partitions=[partition])
        if stored is not None and stored.num_rows:
            rows = _merged(stored.drop_columns([lake.PARTITION]), rows, identity)
        else:
            rows = _last_of_each(rows, identity)
        lake.replace(table, partition, rows)


def _add_to_files(source: FileSource, config: RepoConfig, rows: pa.Table, identity: list[str]) -> None:
    filesystem, path = parquet_files.location(source, config.repo_path)
    reader = f"File source {source.name!r}"
    with postgres.advisory_lock("pushed", path):
        stored = None
        if parquet_files.exists(filesystem, path):
            stored = parquet_files.open_source(source, config.repo_path, reader)
            rows = _cast(rows, stored.schema, source.name)
        if not parquet_files.is_file(path) and filesystem.get_file_info(path).type != pa.fs.FileType.File:
            name = f"{path}/{PUSHED}{parquet_files.digest(rows)}.parquet"
            parquet_files.write(filesystem, name, [rows], rows.schema)
            return
        rows = _last_of_each(rows, identity) if stored is None else _merged(stored.to_table(), rows, identity)
        parquet_files.write(filesystem, path, [rows], rows.schema)


def _merged(stored: pa.Table, rows: pa.Table, identity: list[str]) -> pa.Table:
    return _last_of_each(pa.concat_tables([stored, rows.select(stored.column_names).cast(stored.schema)]), identity)


def _cast(rows: pa.Table, schema: pa.Schema, name: str) -> pa.Table:
    """`rows` with the columns and types that a table has.

    Args:
        rows: What is to be written.
        schema: The table's.
        name: The view or source, for errors.

    Raises:
        BadFeatures: a column is missing, or holds what does not fit.
    """
    columns = []
    for field in schema:
        try:
            columns.append(rows[field.name].cast(field.type))
        except (KeyError, pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise BadFeatures(
                f"The rows to write for {name!r} do not fit column {field.name!r}, {field.type}: {error}",
                "Pass the column as the table has it.",
            ) from error
    return pa.table(columns, schema=schema.remove_metadata())


def _last_of_each(rows: pa.Table, identity: list[str]) -> pa.Table:
    """The last row of each identity, in the rows' order."""
    frame = pl.DataFrame(rows.select(identity)).with_row_index("__row")
    last = frame.unique(subset=identity, keep="last", maintain_order=True)["__row"]
    return rows if len(last) == rows.num_rows else rows.take(last.to_arrow())


def _cannot_write_to(thing: DataSource | SavedDatasetStorage | LoggingDestination) -> BadFeatures:
    return BadFeatures(
        f"The lake's offline store cannot write to a {type(thing).__name__}.",
        "Use what perennial.feature_store.source and .destinations define, or Feast's own files.",
    )
