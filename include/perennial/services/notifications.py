"""Tells other processes at once that something was committed: PostgreSQL's NOTIFY and LISTEN.

A notification may be lost, with its sender or while nobody is connected. Who listens looks now and then by itself too.
"""

from __future__ import annotations

import logging
import select
import threading
from collections.abc import Callable
from contextlib import closing
from typing import Any

from perennial.errors import ServiceUnavailable
from perennial.services import postgres

log = logging.getLogger(__name__)

#: The ledger of a use case has a new entry; the payload is the use case's name.
LEDGER = "perennial_ledger"
#: How long a listener waits before it looks whether it shall end, and after an error, in seconds.
_PATIENCE = 5.0


def notify(channel: str, payload: str) -> None:
    """Tell those who listen; if that fails they find out by themselves, so nothing is raised.

    Args:
        channel: Such as `LEDGER`.
        payload: What about.
    """
    from sqlalchemy import text
    from sqlalchemy.exc import SQLAlchemyError

    try:
        with postgres.engine("lake").connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("SELECT pg_notify(:channel, :payload)"), {"channel": channel, "payload": payload})
    except (SQLAlchemyError, ServiceUnavailable) as error:
        log.warning("Nobody could be notified of a change of %s: %s", payload, str(error).splitlines()[0])


def listen(channel: str, on_change: Callable[[], None], ended: threading.Event) -> None:
    """Call a function at each notification, and after each connection, until it is told to end.

    Args:
        channel: Such as `LEDGER`.
        on_change: What was notified before it was connected is unknown: it is called then too.
        ended: Ends it within seconds.
    """
    told = False
    while not ended.is_set():
        try:
            with closing(_connected(channel)) as connection:
                log.info("Listening to changes of the ledger.")
                told = False
                on_change()
                _follow(connection, on_change, ended)
        except Exception as error:  # Whatever it is, who listens looks by itself meanwhile.
            if not told:
                log.warning("Changes are noticed later: PostgreSQL does not notify: %s", str(error).splitlines()[:1])
            told = True
            ended.wait(_PATIENCE)


def _connected(channel: str) -> Any:
    """A connection of psycopg2 of its own: it is held for ever, which a pool is not for."""
    pooled = postgres.engine("lake").raw_connection()
    connection: Any = pooled.driver_connection
    pooled.detach()
    connection.set_session(autocommit=True)
    with connection.cursor() as cursor:
        cursor.execute(f"LISTEN {channel}")
    return connection


def _follow(connection: Any, on_change: Callable[[], None], ended: threading.Event) -> None:
    while not ended.is_set():
        ready, _, _ = select.select([connection], [], [], _PATIENCE)
        connection.poll()
        if connection.notifies:
            connection.notifies.clear()
            on_change()
        elif not ready:
            with connection.cursor() as cursor:  # A server that is gone without a word is noticed.
                cursor.execute("SELECT 1")
