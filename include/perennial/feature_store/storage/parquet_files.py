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
    """The file system that a path is on, and its name there.

    Args:
        path: A path or an address such as `s3://bucket/folder`.
        base: The feature repository, where a relative path starts.
        endpoint: The address of the S3 server, if it is not Amazon's.
    """
    address = FileSource.get_uri_for_file_path(repo_path=base, uri=path)
    if address.startswith("s3://") and endpoint:
        scheme = endpoint.split("://", 1)[0] if "://" in endpoint else "https"
        return fs.S3FileSystem(endpoint_override=endpoint, scheme=scheme), address.removeprefix("s3://")
    if "://" in address:
        return fs.FileSystem.from_uri(address)
    return fs.LocalFileSystem(), str(Path(address).absolute())


def location(source: FileSource, base: Path | None) -> tuple[fs.FileSystem, str]:
    """The file system that a source's files are on, and their path there.

    Args:
        source: The source.
        base: The feature repository, where a relative path starts.

    Raises:
        BadFeatures: they are not Parquet.
    """
    if source.file_format is not None and not isinstance(source.file_format, ParquetFormat):
        raise BadFeatures(
            f"File source {source.name!r} is in {type(source.file_format).__name__}, which this store cannot read.",
            "Store it as Parquet, or as a table of the lake.",
        )
    return located(source.path, base, source.s3_endpoint_override)


def open_source(source: FileSource, base: Path | None, reader: str) -> ds.Dataset:
    """What a source's files hold now.

    Args:
        source: The source.
        base: The feature repository, where a relative path starts.
        reader: Who reads, for errors.

    Raises:
        BadFeatures: there are no files, or they are not Parquet.
    """
    filesystem, path = location(source, base)
    return open_dataset(filesystem, path, reader)


def open_dataset(filesystem: fs.FileSystem, path: str, reader: str) -> ds.Dataset:
    """A Parquet file, or a folder of them.

    Args:
        filesystem: Where it is.
        path: Its path there.
        reader: Who reads, for errors.

    Raises:
        BadFeatures: there is none, or it is not Parquet.
    """
    kind = filesystem.get_file_info(path).type
    if kind == fs.FileType.NotFound:
        raise BadFeatures(f"{reader} reads {path}, which does not exist.", "Write it, or fix the path.")
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
    """Whether every file of a dataset has all of its columns."""
    return isinstance(dataset, ds.FileSystemDataset) and all(
        fragment.physical_schema.names == dataset.schema.names for fragment in dataset.get_fragments()
    )


def is_file(path: str) -> bool:
    """Whether `path` names one file rather than a folder of them."""
    return path.endswith((".parquet", ".pq"))


def exists(filesystem: fs.FileSystem, path: str) -> bool:
    """Whether there is a file, or any file below a folder.

    Args:
        filesystem: Where to look.
        path: The file or folder there.
    """
    info = filesystem.get_file_info(path)
    if info.type != fs.FileType.Directory:
        return info.type == fs.FileType.File
    below = filesystem.get_file_info(fs.FileSelector(path, recursive=True))
    return any(entry.type == fs.FileType.File for entry in below)


def write(filesystem: fs.FileSystem, path: str, rows: Iterable[pa.Table], schema: pa.Schema) -> str:
    """Write a Parquet file table by table; it appears under its name only when it is complete.

    Args:
        filesystem: Where to write.
        path: The file's path there.
        rows: The tables.
        schema: The file's columns, to which the tables are cast.

    Returns:
        The path.
    """
    # An object store shows an object when it is complete; a folder shows a file from its first byte.
    is_local = isinstance(filesystem, fs.LocalFileSystem)
    folder, name = path.rsplit("/", 1)
    # Readers of a folder skip names that start with a dot.
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


def digest(rows: pa.Table) -> str:
    """A digest of a table's content: equal rows in equal order have one, whatever their chunks."""
    sink = pa.BufferOutputStream()
    plain = rows.combine_chunks().replace_schema_metadata(None)
    with pa.ipc.new_stream(sink, plain.schema) as writer:
        writer.write_table(plain)
    return hashlib.sha256(sink.getvalue()).hexdigest()[:24]
