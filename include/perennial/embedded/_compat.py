"""The private API of MLflow that the embedded server replaces.

`mlflow server` prepares databases and settings, then starts uvicorn in a process of its own, which imports everything
again. `serve_in_this_process` makes it take that last step in the same process: half the memory and half the CPU.
`tests/embedded/test__compat.py` fails once MLflow takes the step in another way; then this module can go, and what
remains is the ordinary `mlflow server`.
"""

from __future__ import annotations

import os
from typing import Any


def serve_in_this_process() -> None:
    """Let `mlflow server` run uvicorn in this process."""
    import mlflow.server

    mlflow.server._exec_cmd = _serve  # type: ignore[assignment]


class _EndedProcess:
    """What `mlflow server` waits for: a process that has ended, because serving ended before."""

    pid = os.getpid()

    def poll(self) -> int:
        return 0

    def wait(self) -> int:
        return 0


def _serve(command: list[str], *, extra_env: dict[str, str], **_: Any) -> _EndedProcess:
    """Run the command `python -m uvicorn ...` in this process, until a signal ends it."""
    import uvicorn

    os.environ.update(extra_env)
    arguments = command[command.index("uvicorn") + 1 :]
    uvicorn.main.main(args=arguments, standalone_mode=False)
    return _EndedProcess()
