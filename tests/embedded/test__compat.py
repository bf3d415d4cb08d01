"""Private API that is replaced: still there, and still needed?"""

from __future__ import annotations

import inspect

import mlflow.server


def test_mlflow_starts_its_server_by_the_replaced_step() -> None:
    # When this fails, `perennial.embedded._compat` can go: MLflow no longer takes that step, or takes another.
    assert "_exec_cmd(" in inspect.getsource(mlflow.server._run_server)
