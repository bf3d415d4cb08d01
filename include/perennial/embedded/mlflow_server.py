"""Run as a program, this is `mlflow server` with one worker, in one process instead of two.

python -m perennial.embedded.mlflow_server ARGUMENTS_OF_MLFLOW_SERVER
"""

from __future__ import annotations

import sys

# Before MLflow: if uvicorn is loaded, MLflow knows that it is a server, which checks Host and Origin headers.
import uvicorn  # noqa: F401

from perennial.embedded import _compat


def main() -> None:
    """`mlflow server` with this process's arguments."""
    from mlflow.cli import cli

    _compat.serve_in_this_process()
    cli.main(args=["server", *sys.argv[1:]])


if __name__ == "__main__":
    main()
