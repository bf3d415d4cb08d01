"""The second use case after five days: a first model from the third day on, two days scored; the sixth begins."""

from __future__ import annotations

import pytest
from pipelines import run_loop_until

from perennial.use_case import UseCase


@pytest.fixture(scope="module")
def energy(project, mlflow_server, energy: UseCase) -> UseCase:
    run_loop_until(energy, "2024-01-05")
    return energy
