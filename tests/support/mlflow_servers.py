"""MLflow servers that start without importing MLflow again.

Nearly all that a start costs is importing, a few CPU seconds, and many test files start a server of their own. So one
process imports what each needs, and a server is a fork of it. It goes with the process that asked for it.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path

#: What the server imports, but for the module that builds its application from the environment.
_IMPORTED = (
    "mlflow_servers",
    "perennial.embedded.mlflow_server",  # Before MLflow: it imports uvicorn, by which MLflow knows that it is a server.
    "mlflow.cli",
    "mlflow.server.artifact_router",
    "mlflow.server.assistant.api",
    "mlflow.server.fastapi_security",
    "mlflow.server.gateway_api",
    "mlflow.server.job_api",
    "mlflow.server.mcp_server_api",
    "mlflow.server.otel_api",
    "mlflow.store.tracking.sqlalchemy_store",
    "mlflow.store.model_registry.sqlalchemy_store",
    "psycopg",
    "uvicorn.main",
)


@cache
def _forks() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(_IMPORTED))
    return context


def start(arguments: Sequence[str], environment: Mapping[str, str], log: Path) -> BaseProcess:
    """Start `python -m perennial.embedded.mlflow_server`.

    Args:
        arguments: Those of `mlflow server`.
        environment: All of its environment.
        log: Gets its output.
    """
    server = _forks().Process(target=_serve, args=(list(arguments), dict(environment), str(log)), daemon=True)
    server.start()
    return server


def _serve(arguments: list[str], environment: dict[str, str], log: str) -> None:
    os.environ.clear()
    os.environ.update(environment)
    with open(log, "w") as output:  # noqa: PTH123 - its number is what counts
        for number in (1, 2):
            os.dup2(output.fileno(), number)
    from perennial.embedded import mlflow_server

    sys.argv[1:] = arguments
    mlflow_server.main()
