"""Airflow connections, for those who are Airflow tasks and those who are not. Nothing here imports Airflow.

An address `connection://CONNECTION_ID/WHAT` names something that is reached by a connection: a table of a database, or
a file of a web server. It holds no secret, so it may stand in a file.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.parse import unquote

from perennial.errors import BadBatch, PerennialError, ServiceUnavailable

SCHEME = "connection://"
_ID = re.compile(r"^[A-Za-z0-9_.:#\[\]-]+$")
_PATIENCE = 120.0


@dataclass(frozen=True)
class Connection:
    """An Airflow connection. What is secret of it is never shown.

    Attributes:
        kind: Airflow's `conn_type`, such as "postgres".
        schema: Of a database, its name.
        extra: What else is set, secrets included.
        url: For SQLAlchemy, as the hook of an installed provider tells it; empty: there is none, or none is needed.
    """

    id: str
    kind: str
    host: str
    schema: str
    port: int | None
    login: str
    password: str = field(repr=False)
    extra: dict[str, Any] = field(repr=False)
    url: str = field(repr=False)

    @property
    def is_web(self) -> bool:
        """Whether it is a connection to the web."""
        return self.kind in ("http", "https")


def parted(address: str) -> tuple[str, str]:
    """Connection id and what of it is meant, of an address `connection://CONNECTION_ID/WHAT`.

    Raises:
        BadBatch: the address has not both.
    """
    connection_id, _, what = address.removeprefix(SCHEME).partition("/")
    if "@" in connection_id:
        raise BadBatch(
            "An address connection://... holds a login, which belongs into the Airflow connection.",
            "Name the connection only: connection://CONNECTION_ID/SCHEMA.TABLE.",
        )
    if not _ID.match(connection_id) or not what.strip("/"):
        raise BadBatch(
            f"{address} names no connection and something that is reached by it.",
            "Write connection://CONNECTION_ID/SCHEMA.TABLE, or connection://CONNECTION_ID/PATH of a web server.",
        )
    return connection_id, unquote(what.strip("/"))


def find(connection_id: str) -> Connection:
    """The connection of that id, as Airflow finds it: in `AIRFLOW_CONN_*`, a secrets backend, its database.

    Inside a task Airflow's supervisor is asked, elsewhere a process of its own, so that Airflow with its configuration
    is imported into neither.

    Raises:
        BadBatch: there is none.
        ServiceUnavailable: Airflow could not be asked.
    """
    # What Airflow itself tells a task by.
    if hasattr(sys.modules.get("airflow.sdk.execution_time.task_runner"), "SUPERVISOR_COMMS"):
        from perennial.orchestration import connections

        return _connection(connection_id, connections.find(connection_id), "")
    return _asked(connection_id, os.environ.get(f"AIRFLOW_CONN_{connection_id.upper()}"))


@cache
def _asked(connection_id: str, variable: str | None) -> Connection:
    """Asked once a process and value of the variable: each time costs the seconds of importing Airflow."""
    with tempfile.TemporaryDirectory(prefix="perennial-airflow-") as folder:
        variables, silence = _environment(folder)
        command = [sys.executable, "-m", "perennial.orchestration.connections", connection_id]
        try:
            done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=_PATIENCE)
        except subprocess.TimeoutExpired as error:
            raise ServiceUnavailable(
                f"Airflow did not say within {_PATIENCE:.0f} s what connection {connection_id!r} is.",
                "Look at its secrets backend and its database: `perennial doctor`.",
            ) from error
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise ServiceUnavailable(
            f"Airflow could not be asked for connection {connection_id!r}: {said}",
            "Mend Airflow's configuration: `airflow config list` shows it.",
        )
    return _connection(connection_id, json.loads(done.stdout.splitlines()[-1]), silence)


def _environment(folder: str) -> tuple[dict[str, str], str]:
    """What Airflow sees, and why its database was not asked; empty if it was."""
    from perennial.embedded.environment import environment
    from perennial.embedded.status import embeds_airflow
    from perennial.settings import settings

    own = dict(os.environ)
    silence = ""
    if embeds_airflow(settings()):
        try:
            own = environment() | {name: value for name, value in own.items() if name.startswith("AIRFLOW_")}
        except PerennialError as error:
            silence = error.problem
    if "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN" not in own:
        # One without connections, and away from wherever Airflow would make itself a home.
        own |= {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{folder}/airflow.db"}
        own.setdefault("AIRFLOW_HOME", folder)
        silence = silence or "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN is not set."
    path = [*map(str, sys.path), own.get("PYTHONPATH", "")]
    return own | {"PYTHONPATH": os.pathsep.join(dict.fromkeys(filter(None, path)))}, silence


def _connection(connection_id: str, told: dict[str, Any] | None, silence: str) -> Connection:
    if told is None:
        unasked = f" Airflow's database was not asked: {silence}" if silence else ""
        raise BadBatch(
            f"There is no Airflow connection {connection_id!r}.{unasked}",
            f"Add it in Airflow (Admin, Connections), or set AIRFLOW_CONN_{connection_id.upper()}"
            f"{'; Airflow of this machine is started by `perennial up`' if silence else ''}.",
        )
    return Connection(
        id=connection_id,
        kind=told["conn_type"] or "",
        host=told["host"] or "",
        schema=told["schema"] or "",
        port=told["port"],
        login=told["login"] or "",
        password=told["password"] or "",
        extra=told["extra"] or {},
        url=told["url"],
    )
