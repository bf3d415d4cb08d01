"""The Parquet file of a training set: written once, named by the digest of its content."""

from __future__ import annotations

import hashlib
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from perennial import lake
from perennial._common.storage import explaining
from perennial.errors import BadFeatures


def encode(rows: pa.Table) -> bytes:
    """The rows as a Parquet file: equal rows give equal bytes in one environment."""
    sink = pa.BufferOutputStream()
    pq.write_table(lake.canonical(rows).replace_schema_metadata(None), sink, compression="zstd")
    return sink.getvalue().to_pybytes()


def read(path: str, digest: str) -> pa.Table:
    """The rows of a file that is still what it was when it was written.

    Args:
        path: A path or a URI.
        digest: SHA-256 of the file's content.

    Raises:
        BadFeatures: the content has another digest.
    """
    filesystem, place = _open(path)
    with filesystem.open_input_stream(place) as file:
        content = file.read()
    if hashlib.sha256(content).hexdigest() != digest:
        raise BadFeatures(
            f"The training set {path} does not have the digest it is named by.",
            "It was changed or damaged: restore it from a backup, or train again to write it again.",
        )
    return pq.read_table(pa.BufferReader(content))


def store(content: bytes, target: str) -> None:
    """Write once: a file that is there whole is left alone; a half-written one never has that name.

    Args:
        content: What `encode` returned.
        target: A path or a URI.

    Raises:
        StorageFull: there is no room for it.
    """
    filesystem, path = _open(target)
    if _is_stored(filesystem, path, content):
        return
    # An object store shows an object when it is complete; a folder shows a file from its first byte.
    is_local = isinstance(filesystem, fs.LocalFileSystem)
    written = f"{path}.{uuid4().hex}.part" if is_local else path
    with explaining(f"Training set {target}"):
        if is_local:
            filesystem.create_dir(path.rsplit("/", 1)[0], recursive=True)
        try:
            with filesystem.open_output_stream(written) as file:
                file.write(content)
        except OSError:
            if is_local and filesystem.get_file_info(written).type != fs.FileType.NotFound:
                filesystem.delete_file(written)
            raise
        if is_local:
            filesystem.move(written, path)


def _is_stored(filesystem: fs.FileSystem, path: str, content: bytes) -> bool:
    """Whether the file is there and undamaged."""
    info = filesystem.get_file_info(path)
    if info.type == fs.FileType.NotFound or info.size != len(content):
        return False
    with filesystem.open_input_stream(path) as file:
        return bool(file.read() == content)


def _open(place: str) -> tuple[fs.FileSystem, str]:
    """The file system of a path or a URI, and the path there. A path is none: it may hold spaces, `%` or `#`."""
    return fs.FileSystem.from_uri(place) if "://" in place else (fs.LocalFileSystem(), place)
