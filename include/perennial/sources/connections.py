"""Looks up Airflow connections, inside and outside Airflow tasks, without importing Airflow.

An address `connection://CONNECTION_ID/WHAT` names something behind a connection: a table of a database, or a file of a
web server. It contains no secret, so it may be written in a file.
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
    """An Airflow connection. Its secrets are never shown.

    Attributes:
        kind: Airflow's `conn_type`, such as "postgres".
        schema: The name of the database, if it is one.
        extra: Its other settings, secrets included.
        url: For SQLAlchemy, as returned by the hook of an installed provider; empty: there is none, or none is needed.
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
        """Whether it is a connection to a web server."""
        return self.kind in ("http", "https")


def split_address(address: str) -> tuple[str, str]:
    """The connection id and the rest of an address `connection://CONNECTION_ID/WHAT`.

    Raises:
        BadBatch: One of them is missing, or the address contains a login.
    """
    connection_id, _, what = address.removeprefix(SCHEME).partition("/")
    if "@" in connection_id:
        raise BadBatch(
            "An address connection://... contains a login, which belongs in the Airflow connection.",
            "Name only the connection: connection://CONNECTION_ID/SCHEMA.TABLE.",
        )
    if not _ID.match(connection_id) or not what.strip("/"):
        raise BadBatch(
            f"{address} does not name a connection and something behind it.",
            "Write connection://CONNECTION_ID/SCHEMA.TABLE, or connection://CONNECTION_ID/PATH of a web server.",
        )
    return connection_id, unquote(what.strip("/"))


def find(connection_id: str) -> Connection:
    """The connection with that id, as Airflow finds it: in `AIRFLOW_CONN_*`, a secrets backend, or its database.

    Inside a task, Airflow's supervisor looks it up; elsewhere a separate process does, so that Airflow and its
    configuration are never imported into this one.

    Raises:
        BadBatch: There is none.
        ServiceUnavailable: Airflow could not look it up.
    """
    # Airflow itself recognizes a task by this attribute.
    if hasattr(sys.modules.get("airflow.sdk.execution_time.task_runner"), "SUPERVISOR_COMMS"):
        from perennial.orchestration import connections

        return _connection(connection_id, connections.find(connection_id), "")
    return _asked(connection_id, os.environ.get(f"AIRFLOW_CONN_{connection_id.upper()}"))


@cache
def _asked(connection_id: str, variable: str | None) -> Connection:
    """Cached per process and value of the variable: each lookup takes the seconds of importing Airflow."""
    what = f"look up connection {connection_id!r}"
    fields, silence = run_as_airflow("perennial.orchestration.connections", connection_id, what)
    return _connection(connection_id, fields, silence)


def run_as_airflow(module: str, argument: str, what: str) -> tuple[Any, str]:
    """Run a module in a process that finds Airflow's connections, and return what its last line says in JSON.

    Args:
        module: Run as a program, with one argument.
        argument: That.
        what: What it does, for messages: "look up connection 'x'".

    Returns:
        The result, and why Airflow's database is not searched; empty if it is.

    Raises:
        ServiceUnavailable: it failed, or did not end in time.
    """
    with tempfile.TemporaryDirectory(prefix="perennial-airflow-") as folder:
        variables, silence = _environment(folder)
        command = [sys.executable, "-m", module, argument]
        try:
            done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=_PATIENCE)
        except subprocess.TimeoutExpired as error:
            raise ServiceUnavailable(
                f"Airflow could not {what} within {_PATIENCE:.0f} s.",
                "Check its secrets backend and its database: `perennial doctor`.",
            ) from error
    if done.returncode:
        message = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise ServiceUnavailable(
            f"Airflow could not {what}: {message}",
            "Correct Airflow's configuration: `airflow config list` shows it.",
        )
    return json.loads(done.stdout.splitlines()[-1]), silence


def _environment(folder: str) -> tuple[dict[str, str], str]:
    """The environment for Airflow, and why its database is not searched; empty if it is."""
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
        # An empty database, and not in the folder that Airflow would create as its home.
        own |= {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{folder}/airflow.db"}
        own.setdefault("AIRFLOW_HOME", folder)
        silence = silence or "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN is not set."
    path = [*map(str, sys.path), own.get("PYTHONPATH", "")]
    return own | {"PYTHONPATH": os.pathsep.join(dict.fromkeys(filter(None, path)))}, silence


def _connection(connection_id: str, fields: dict[str, Any] | None, silence: str) -> Connection:
    if fields is None:
        unasked = f" Airflow's database was not searched: {silence}" if silence else ""
        raise BadBatch(
            f"There is no Airflow connection {connection_id!r}.{unasked}",
            f"Add it in Airflow (Admin, Connections), or set AIRFLOW_CONN_{connection_id.upper()}"
            f"{'; `perennial up` starts the Airflow of this machine' if silence else ''}.",
        )
    return Connection(
        id=connection_id,
        kind=fields["conn_type"] or "",
        host=fields["host"] or "",
        schema=fields["schema"] or "",
        port=fields["port"],
        login=fields["login"] or "",
        password=fields["password"] or "",
        extra=fields["extra"] or {},
        url=fields["url"],
    )
