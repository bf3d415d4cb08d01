"""`mlflow server` with one worker, in one process instead of two: half the memory and half the CPU of its start.

`mlflow server` prepares databases and settings, then starts uvicorn in a process of its own, which imports everything
again. Here that last step happens in the same process. Should MLflow change how it takes that step, what follows is
the ordinary `mlflow server`.
"""

from __future__ import annotations

import os
import sys
from typing import Any

# Before MLflow: it takes its being loaded as the sign that this is a server, which checks Host and Origin headers.
import uvicorn


class _Served:
    """Stands for the process that `mlflow server` waits for; it has ended when it is made."""

    pid = os.getpid()

    def poll(self) -> int:
        return 0

    def wait(self) -> int:
        return 0


def _serve_here(command: list[str], *, extra_env: dict[str, str], **_: Any) -> _Served:
    """Run `python -m uvicorn ...` in this process, until a signal ends it."""
    os.environ.update(extra_env)
    arguments = command[command.index("uvicorn") + 1 :]
    uvicorn.main.main(args=arguments, standalone_mode=False)
    return _Served()


def main() -> None:
    """`mlflow server` with this process's arguments."""
    import mlflow.server
    from mlflow.cli import cli

    mlflow.server._exec_cmd = _serve_here  # type: ignore[assignment]
    cli.main(args=["server", *sys.argv[1:]])


if __name__ == "__main__":
    main()
