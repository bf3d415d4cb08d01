"""What Feast writes to the offline store: pushed feature rows, saved datasets, logs of served features.

All of it may be done again: a write that was repeated, or killed and repeated, leaves the rows of one write.
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
from perennial.feature_store import files, lake_files
from perennial.feature_store.destinations import LakeLoggingDestination, SavedDatasetLakeStorage
from perennial.feature_store.entity_rows import utc
from perennial.feature_store.scan import source_of, stored_name
from perennial.feature_store.source import LakeSource
from perennial.services import postgres

#: Partitions of rows that came through Feast, a day of event time each. The pipelines replace their own partitions,
#: which are never called so: what was pushed stays until it is pushed again.
PUSHED = "pushed-"
_SAVED = "saved"


def push(config: RepoConfig, view: FeatureView, rows: pa.Table) -> None:
    """Add rows to the view's own table or file. Of rows with one key, event time and time of writing the last written
    stays.

    Raises:
        BadFeatures: a row has no event time, or the source can be written by nobody here.
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
        held = lake_files.dataset(source.table)
        if held is not None:
            rows = _as(rows, held.schema, view.name)
        days = pc.strftime(utc(rows[time].combine_chunks()), format=f"{PUSHED}%Y-%m-%d")
        for day in sorted(days.unique().to_pylist()):
            _upsert(source.table, day, rows.filter(pc.equal(days, day)), identity)
    elif isinstance(source, FileSource):
        _add_to_files(source, config, rows, identity)
    else:
        raise _unknown(source)


def save(config: RepoConfig, storage: SavedDatasetStorage, batches: Iterator[pa.Table], overwrite: bool) -> None:
    """Store a retrieval's result, as it comes where that is a file.

    Raises:
        SavedDatasetLocationAlreadyExists: there is something, and `overwrite` is not set.
    """
    if isinstance(storage, SavedDatasetLakeStorage):
        held = lake.read(storage.table, columns=(lake.PARTITION,))
        if held is not None and held.num_rows and not overwrite:
            raise SavedDatasetLocationAlreadyExists(location=storage.table)
        lake.replace(storage.table, _SAVED, pa.concat_tables(batches))
    elif isinstance(storage, SavedDatasetFileStorage):
        source = storage.to_data_source()
        assert isinstance(source, FileSource)  # noqa: S101 - it is one by definition
        filesystem, path = files.place(source, config.repo_path)
        if files.exists(filesystem, path) and not overwrite:
            raise SavedDatasetLocationAlreadyExists(location=source.path)
        write_batches(filesystem, path if files.is_file(path) else f"{path}/dataset.parquet", batches)
    else:
        raise _unknown(storage)


def write_batches(filesystem: pa.fs.FileSystem, path: str, batches: Iterator[pa.Table]) -> str:
    """Write tables as they come to one Parquet file; return its name."""
    first = next(batches)
    return files.write(filesystem, path, chain([first], batches), first.schema)


def log(config: RepoConfig, logs: pa.Table | Path, destination: LoggingDestination, schema: pa.Schema) -> None:
    """Add logs of served features. A chunk of logs is known by its content: one that is there is not added again."""
    for chunk in _chunks(logs):
        rows = chunk.select(schema.names).cast(schema)
        name = files.digest(rows)
        if isinstance(destination, LakeLoggingDestination):
            # A partition a chunk, so that a flush never reads the flushes before it.
            for day in rows[LOG_DATE_FIELD].unique().to_pylist():
                of_day = rows.filter(pc.equal(rows[LOG_DATE_FIELD], pa.scalar(day, pa.date32())))
                lake.replace(destination.table, f"{day}-{name}", of_day)
        elif isinstance(destination, FileLoggingDestination):
            filesystem, path = files.located(destination.path, config.repo_path, destination.s3_endpoint_override)
            pq.write_to_dataset(
                rows,
                path,
                filesystem=filesystem,
                partition_cols=destination.partition_by,
                basename_template=f"{name}-{{i}}.parquet",
                existing_data_behavior="overwrite_or_ignore",
            )
        else:
            raise _unknown(destination)


def _chunks(logs: pa.Table | Path) -> Iterable[pa.Table]:
    """The logs: a table, or each file of a folder."""
    if isinstance(logs, pa.Table):
        return [logs]
    found = ds.dataset(logs, format="parquet")
    return (fragment.to_table() for fragment in found.get_fragments())


def _upsert(table: str, partition: str, rows: pa.Table, identity: list[str]) -> None:
    # Another name than the table's own lock, which `replace` takes meanwhile: only pushes wait for one another.
    with postgres.advisory_lock("pushed", table, partition):
        held = lake.read(table, partitions=[partition])
        if held is not None and held.num_rows:
            rows = _merged(held.drop_columns([lake.PARTITION]), rows, identity)
        else:
            rows = _last_of_each(rows, identity)
        lake.replace(table, partition, rows)


def _add_to_files(source: FileSource, config: RepoConfig, rows: pa.Table, identity: list[str]) -> None:
    filesystem, path = files.place(source, config.repo_path)
    with postgres.advisory_lock("pushed", path):
        exists = files.exists(filesystem, path)
        if exists:
            schema = files.dataset(source, config.repo_path, f"File source {source.name!r}").schema
            rows = _as(rows, schema, source.name)
        if not files.is_file(path) and filesystem.get_file_info(path).type != pa.fs.FileType.File:
            files.write(filesystem, f"{path}/{PUSHED}{files.digest(rows)}.parquet", [rows], rows.schema)
            return
        held = files.dataset(source, config.repo_path, f"File source {source.name!r}").to_table() if exists else None
        rows = _last_of_each(rows, identity) if held is None else _merged(held, rows, identity)
        files.write(filesystem, path, [rows], rows.schema)


def _merged(held: pa.Table, rows: pa.Table, identity: list[str]) -> pa.Table:
    return _last_of_each(pa.concat_tables([held, rows.select(held.column_names).cast(held.schema)]), identity)


def _as(rows: pa.Table, schema: pa.Schema, what: str) -> pa.Table:
    """`rows` as the table of `what` has its columns.

    Raises:
        BadFeatures: it lacks one, or holds what does not fit.
    """
    columns = []
    for field in schema:
        try:
            columns.append(rows[field.name].cast(field.type))
        except (KeyError, pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise BadFeatures(
                f"The rows to write for {what!r} do not fit column {field.name!r}, {field.type}: {error}",
                "Give it as the table has it.",
            ) from error
    return pa.table(columns, schema=schema.remove_metadata())


def _last_of_each(rows: pa.Table, identity: list[str]) -> pa.Table:
    """The last row of each identity, in the rows' order."""
    frame = pl.DataFrame(rows.select(identity)).with_row_index("__row")
    kept = frame.unique(subset=identity, keep="last", maintain_order=True)["__row"]
    return rows if len(kept) == rows.num_rows else rows.take(kept.to_arrow())


def _unknown(thing: DataSource | SavedDatasetStorage | LoggingDestination) -> BadFeatures:
    return BadFeatures(
        f"The lake's offline store cannot write to a {type(thing).__name__}.",
        "Use what perennial.feature_store.source and .destinations define, or Feast's own files.",
    )
