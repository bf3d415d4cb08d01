"""Feast's own `FileSource`: one Parquet file or a folder of them, on a disk or in S3; read, and written whole."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from uuid import uuid4

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from feast.data_format import ParquetFormat
from feast.infra.offline_stores.file_source import FileSource
from pyarrow import fs

from perennial.errors import BadFeatures

#: Names in a folder that hold no rows. Others may start with `_`, as Feast's own `__log_date=...` does.
_NOT_DATA = [".", "_SUCCESS", "_committed", "_common_metadata", "_delta_log", "_metadata", "_started", "_temporary"]


def located(path: str, base: Path | None, endpoint: str | None = None) -> tuple[fs.FileSystem, str]:
    """The file system that `path` is on, and its name there; a relative path starts at the feature repository."""
    whole = FileSource.get_uri_for_file_path(repo_path=base, uri=path)
    if whole.startswith("s3://") and endpoint:
        scheme = endpoint.split("://", 1)[0] if "://" in endpoint else "https"
        return fs.S3FileSystem(endpoint_override=endpoint, scheme=scheme), whole.removeprefix("s3://")
    if "://" in whole:
        return fs.FileSystem.from_uri(whole)
    return fs.LocalFileSystem(), str(Path(whole).absolute())


def place(source: FileSource, base: Path | None) -> tuple[fs.FileSystem, str]:
    """Where a source's files are.

    Raises:
        BadFeatures: they are not Parquet.
    """
    if source.file_format is not None and not isinstance(source.file_format, ParquetFormat):
        raise BadFeatures(
            f"File source {source.name!r} is in {type(source.file_format).__name__}, which this store cannot read.",
            "Store it as Parquet, or as a table of the lake.",
        )
    return located(source.path, base, source.s3_endpoint_override)


def dataset(source: FileSource, base: Path | None, reader: str) -> ds.Dataset:
    """What the source's files hold now.

    Raises:
        BadFeatures: there are none, or they are not Parquet.
    """
    filesystem, path = place(source, base)
    return parquet(filesystem, path, reader)


def parquet(filesystem: fs.FileSystem, path: str, reader: str) -> ds.Dataset:
    """The Parquet file or folder at `path`.

    Raises:
        BadFeatures: there is none, or it is not Parquet.
    """
    kind = filesystem.get_file_info(path).type
    if kind == fs.FileType.NotFound:
        raise BadFeatures(f"{reader} reads {path}, which does not exist.", "Write it, or mend the path.")
    try:
        partitioning = "hive" if kind == fs.FileType.Directory else None
        return ds.dataset(
            path,
            format="parquet",
            filesystem=filesystem,
            partitioning=partitioning,
            exclude_invalid_files=False,
            ignore_prefixes=_NOT_DATA,
        )
    except (pa.ArrowInvalid, OSError) as error:
        raise BadFeatures(f"{reader} reads {path}, which is not Parquet: {error}", "Store it as Parquet.") from error


def is_uniform(dataset: ds.Dataset) -> bool:
    """Whether each file of a dataset says for itself all that the dataset holds."""
    return isinstance(dataset, ds.FileSystemDataset) and all(
        fragment.physical_schema.names == dataset.schema.names for fragment in dataset.get_fragments()
    )


def is_file(path: str) -> bool:
    """Whether `path` names one file rather than a folder of them."""
    return path.endswith((".parquet", ".pq"))


def exists(filesystem: fs.FileSystem, path: str) -> bool:
    """Whether there is a file at `path`, or any file below it."""
    info = filesystem.get_file_info(path)
    if info.type != fs.FileType.Directory:
        return info.type == fs.FileType.File
    below = filesystem.get_file_info(fs.FileSelector(path, recursive=True))
    return any(found.type == fs.FileType.File for found in below)


def write(filesystem: fs.FileSystem, path: str, rows: Iterable[pa.Table], schema: pa.Schema) -> str:
    """Write a Parquet file from tables as they come; it appears under its name when it is whole. Return the name."""
    # An object store shows an object when it is complete; a folder shows a file from its first byte.
    is_local = isinstance(filesystem, fs.LocalFileSystem)
    folder, name = path.rsplit("/", 1)
    # Readers of a folder pass over names that start with a dot.
    written = f"{folder}/.{name}.{uuid4().hex}" if is_local else path
    if is_local:
        filesystem.create_dir(folder, recursive=True)
    with (
        filesystem.open_output_stream(written) as sink,
        pq.ParquetWriter(sink, schema, compression="zstd") as writer,
    ):
        for table in rows:
            writer.write_table(table.cast(schema))
    if is_local:
        filesystem.move(written, path)
    return path


def delete(filesystem: fs.FileSystem, path: str) -> None:
    """Delete the file or folder at `path`."""
    if filesystem.get_file_info(path).type == fs.FileType.Directory:
        filesystem.delete_dir(path)
    else:
        filesystem.delete_file(path)


def digest(rows: pa.Table) -> str:
    """A name for the content of a table: equal rows in equal order have one name, whatever their chunks."""
    sink = pa.BufferOutputStream()
    plain = rows.combine_chunks().replace_schema_metadata(None)
    with pa.ipc.new_stream(sink, plain.schema) as writer:
        writer.write_table(plain)
    return hashlib.sha256(sink.getvalue()).hexdigest()[:24]
