"""Stores the content of quarantined rows without loss, in Arrow files beside the lake's tables.

Arrow's own format keeps every type that a source may send, also of columns that the lake's table has in another type.
Each file is named by the digest of its bytes.
"""

from __future__ import annotations

import hashlib

import pyarrow as pa
from pyiceberg.io import FileIO, load_file_io

from perennial import lake
from perennial.errors import PerennialError
from perennial.settings import settings
from perennial.use_case import UseCase


def save(use_case: UseCase, rows: pa.Table) -> str:
    """Store rows and return the file's name; a file that exists is not written again.

    Args:
        use_case: The use case.
        rows: The rows, in the types that they came in.
    """
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(rows.combine_chunks())
    content = sink.getvalue()
    name = hashlib.sha256(content).hexdigest()
    target = _file_io().new_output(_location(use_case, name))
    # A writer that was killed leaves a shorter file under this name.
    if not target.exists() or len(target) != content.size:
        with target.create(overwrite=True) as file:
            file.write(content)
    return name


def content(use_case: UseCase, name: str) -> pa.Table:
    """The rows of a file.

    Args:
        use_case: The use case.
        name: The file's name: `content` in the lake's tables `quarantine` and `refused_batches`.

    Raises:
        PerennialError: the file is missing or damaged.
    """
    location = _location(use_case, name)
    try:
        with _file_io().new_input(location).open() as file:
            stored = file.read()
    except FileNotFoundError:
        stored = b""
    if hashlib.sha256(stored).hexdigest() != name:
        raise PerennialError(
            f"Use case {use_case.name!r}: the quarantined content {location} is missing or damaged.",
            "Restore it from a backup, or discard what refers to it and let the source send it again.",
        )
    return pa.ipc.open_stream(stored).read_all()


def _location(use_case: UseCase, name: str) -> str:
    return f"{settings().warehouse.rstrip('/')}/quarantined/{use_case.name}/{name}.arrow"


def _file_io() -> FileIO:
    """Files where the lake's are, with the lake's own access."""
    return load_file_io({**lake.catalog().properties, "warehouse": settings().warehouse}, settings().warehouse)
