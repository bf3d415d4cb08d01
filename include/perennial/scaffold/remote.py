"""Copies data from the web or from a database into a temporary file, so that DuckDB can read it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from perennial.errors import BadBatch, InvalidParams
from perennial.scaffold.places import Place
from perennial.sources import connections, web, web_address
from perennial.sources.listing import DataFile

Step = Callable[..., None]


def is_far(given: str) -> bool:
    """Whether `given` is an address on the web, or something by an Airflow connection."""
    return web_address.is_address(given)


@contextmanager
def brought(given: str, folder: Path, step: Step) -> Iterator[Place]:
    """The place of a copy that is there until the block ends.

    Args:
        given: `http://...`, `https://...`, or `connection://CONNECTION_ID/SCHEMA.TABLE` (of type HTTP: a path).
        folder: For what is copied.
        step: Called with the name of each step, how far it is, and of how much.

    Raises:
        InvalidParams: it is not there, cannot be read, or its address holds a secret.
        ServiceUnavailable: the server, the database or Airflow does not answer.
    """
    if not given.startswith(connections.SCHEME):
        _check_no_secret(given)
    with ExitStack() as stack:
        try:
            copying = _table(given, folder, step) if _is_table(given, step) else _file(given, step)
            place = stack.enter_context(copying)
        except BadBatch as error:
            raise InvalidParams(f"--data: {error.problem}", error.fix) from error
        yield place


def _check_no_secret(given: str) -> None:
    try:
        secret = web_address.secrets_of(given)
    except BadBatch as error:
        raise InvalidParams(f"--data: {error.problem}", error.fix) from error
    if secret:
        raise InvalidParams(
            f"--data {web_address.shown(given)} holds {secret}; it would stand in the files that are written, for"
            " all to see.",
            "Make an Airflow connection of type HTTP that holds it (its extras are sent as headers), and give"
            " --data connection://CONNECTION_ID/PATH.",
        )


def _is_table(given: str, step: Step) -> bool:
    if not given.startswith(connections.SCHEME):
        return False
    connection_id, _ = connections.split_address(given)
    step("asking Airflow for the connection")
    return not connections.find(connection_id).is_web


@contextmanager
def _file(given: str, step: Step) -> Iterator[Place]:
    def progress(done: int, size: int) -> None:
        # In whole megabytes: a plain line is written for each 100 of them where there is no terminal.
        million = done // 2**20
        step(f"fetching it, {million // 100 * 100} MiB so far", done, size) if million % 100 == 0 else None

    step("fetching it")
    with web.local(given, progress=progress) as file:
        yield Place(file, "parquet" if file.endswith(".parquet") else "csv", (DataFile(file),), origin=given)


@contextmanager
def _table(given: str, folder: Path, step: Step) -> Iterator[Place]:
    import pyarrow.parquet as pq

    from perennial.sources import tables

    file, copied = folder / "table.parquet", 0
    with tables.opened(given) as (connection, table):
        columns = list(table.columns)
        unread = {name: f"is of type {kind}, which is not supported" for name, kind in table.unread.items()}
        step("copying it")
        with (
            tables.reading(connection, table, columns) as reader,
            pq.ParquetWriter(file, reader.schema) as writer,
        ):
            for batch in reader:
                writer.write_batch(batch)
                copied += batch.num_rows
                if copied % 1_000_000 == 0:
                    step(f"copying it, {copied:,} rows so far")
    copied_file = (DataFile(str(file)),)
    yield Place(str(file), "parquet", copied_file, origin=given, dialect=table.dialect, unread=unread)
