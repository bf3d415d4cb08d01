"""Twelve days of the second use case in lake and feature store: on the sixth the world moves. No MLflow, no Airflow."""

from __future__ import annotations

from collections.abc import Iterator

import backtested
import pytest
from pipelines import run_features_until

from perennial.use_case import UseCase


@pytest.fixture(scope="module")
def energy(project) -> Iterator[UseCase]:
    with backtested.labels_mature_late():
        declared = backtested.energy()
        run_features_until(declared, backtested.LAST)
        yield declared
