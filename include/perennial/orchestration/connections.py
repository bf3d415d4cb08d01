"""Asking Airflow for a connection: its environment, its secrets backends and its metadata database, in its own order.

Run as a program, it prints one connection as a line of JSON, for a process that is no task of Airflow's.

python -m perennial.orchestration.connections CONNECTION_ID
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from typing import Any

#: Read without a hook of a provider's.
_PLAIN = ("postgres", "postgresql", "sqlite", "http", "https")


def find(connection_id: str) -> dict[str, Any] | None:
    """The connection as whatever part of Airflow this process is gets it; None: there is none of that name."""
    from airflow.sdk import Connection
    from airflow.sdk.exceptions import AirflowNotFoundException

    try:
        return _plain(Connection.get(connection_id))
    except AirflowNotFoundException:
        return None


def _plain(connection: Any) -> dict[str, Any]:
    """The fields of a connection, and `url` for SQLAlchemy if the hook of an installed provider has one."""
    fields = {name: getattr(connection, name) for name in ("conn_type", "host", "schema", "login", "password", "port")}
    fields |= {"extra": connection.extra_dejson, "url": ""}
    if connection.conn_type not in _PLAIN:
        # No provider, or one whose hook has no such URL: the caller reports that.
        with suppress(Exception):
            address = connection.get_hook().sqlalchemy_url
            fields["url"] = address if isinstance(address, str) else address.render_as_string(hide_password=False)
    return fields


if __name__ == "__main__":
    # As Airflow's servers set it, since only these may read its database.
    os.environ["_AIRFLOW_PROCESS_CONTEXT"] = "server"
    # Airflow logs to standard output, which must contain only the result here.
    stdout, sys.stdout = sys.stdout, sys.stderr
    stdout.write("\n" + json.dumps(find(sys.argv[1])))
