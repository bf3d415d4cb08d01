"""What storage says when it fails becomes an error that names the table, the file and the fix."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pyarrow as pa
import pytest
from sqlalchemy import text

from perennial import lake
from perennial._common.storage import explaining
from perennial.errors import DamagedFile, ServiceUnavailable, StorageFull
from perennial.services import postgres

pytestmark = pytest.mark.usefixtures("home")
TABLE = "storage.trips"


def newest(home: Path, pattern: str) -> Path:
    return max((home / "lake/storage/trips").rglob(pattern), key=lambda path: path.stat().st_mtime_ns)


def cut_short(path: Path) -> bytes:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    return content


@pytest.fixture
def trips() -> pa.Table:
    rows = pa.table({"id": list(range(1000))})
    lake.replace(TABLE, "2013-01", rows)
    return rows


def test_a_damaged_data_file_is_named(home: Path, trips: pa.Table) -> None:
    damaged = newest(home, "*.parquet")
    content = cut_short(damaged)
    with pytest.raises(DamagedFile, match=TABLE) as failed:
        lake.read(TABLE, partitions=["2013-01"])
    assert "Restore" in failed.value.fix
    damaged.write_bytes(content)


def test_damaged_content_is_replaced(home: Path, trips: pa.Table) -> None:
    cut_short(newest(home, "*.parquet"))
    lake.replace(TABLE, "2013-01", trips)
    assert lake.read(TABLE, partitions=["2013-01"])["id"].to_pylist() == trips["id"].to_pylist()


def test_a_lost_data_file_is_named(home: Path, trips: pa.Table) -> None:
    lost = newest(home, "*.parquet")
    content = lost.read_bytes()
    lost.unlink()
    with pytest.raises(DamagedFile, match=lost.name):
        lake.read(TABLE, partitions=["2013-01"])
    lost.write_bytes(content)


@pytest.mark.parametrize("pattern", ["*.metadata.json", "snap-*.avro", "*-m0.avro"])
def test_damaged_metadata_of_a_table_is_reported(home: Path, trips: pa.Table, pattern: str) -> None:
    damaged = newest(home, pattern)
    content = cut_short(damaged)
    with pytest.raises(DamagedFile, match=TABLE):
        lake.read(TABLE, partitions=["2013-01"])
    damaged.write_bytes(content)
    assert lake.read(TABLE, partitions=["2013-01"]).num_rows == 1000


def test_a_table_that_is_not_there_is_still_none() -> None:
    assert lake.read("storage.nothing") is None


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_worth_another_try(number: int) -> None:
    with pytest.raises(StorageFull, match="Lake table"), explaining("Lake table 'a.b'"):
        raise OSError(number, os.strerror(number))
    assert issubclass(StorageFull, ServiceUnavailable)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EIO, errno.EMFILE])
def test_a_file_without_permission_is_not_called_damaged(number: int) -> None:
    file = "/lake/a/b/data/partition=2013-01/0.parquet"
    with pytest.raises(OSError, match=r"0\.parquet") as failed, explaining("Lake table 'a.b'"):
        raise OSError(number, os.strerror(number), file)
    assert not isinstance(failed.value, DamagedFile)


@pytest.mark.parametrize(
    "body",
    [
        "NETWORK_CONNECTION during HeadObject operation: curlCode: 28, Timeout was reached",
        "SLOW_DOWN during GetObject operation: Please reduce your request rate.",
        "ACCESS_DENIED during GetObject operation: Access Denied",
        "UNKNOWN (HTTP status 503) during PutObject operation",
    ],
)
def test_an_object_store_that_refuses_is_asked_again(body: str) -> None:
    with pytest.raises(ServiceUnavailable, match="object store"), explaining("Lake table 'a.b'"):
        raise OSError(f"When reading information for key 'a/b/data/0.parquet' in bucket 'lake': AWS Error {body}")


def test_an_object_that_is_gone_is_a_loss() -> None:
    with pytest.raises(DamagedFile), explaining("Lake table 'a.b'"):
        raise FileNotFoundError("Path does not exist 'bucket/a/b/data/0.parquet'")


def test_other_errors_stay_what_they_are() -> None:
    with pytest.raises(OSError, match="unheard of"), explaining("Lake table 'a.b'"):
        raise OSError("unheard of, in /lake/a/b/data/0.parquet")


def test_a_connection_lost_under_a_lock_is_an_error() -> None:
    with (
        pytest.raises(ServiceUnavailable, match="PostgreSQL"),
        postgres.advisory_lock("storage", "lock"),
        postgres.engine("lake").connect().execution_options(isolation_level="AUTOCOMMIT") as connection,
    ):
        connection.execute(
            text("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted")
        )
    with postgres.advisory_lock("storage", "lock"):
        pass


def test_a_wrong_statement_is_not_a_server_that_is_gone() -> None:
    from sqlalchemy.exc import ProgrammingError

    with (
        pytest.raises(ProgrammingError),
        postgres.advisory_lock("storage", "wrong"),
        postgres.engine("lake").connect() as connection,
    ):
        connection.execute(text("SELECT nothing FROM nowhere"))
