"""A notebook in an empty folder: what `perennial` offers leaves no file there, such as MLflow's own mlflow.db."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from perennial import UseCase
from perennial.settings import settings

IMPORTS = "import perennial\nfor name in perennial.__all__: getattr(perennial, name)\n"
USES = """
import mlflow
rows = perennial.predictions("energy")
champion = perennial.champion("energy")
champion.predict(rows)
perennial.examples("energy"), perennial.status("energy")
perennial.training_set("energy", "2024-01-01", "2024-01-02")
perennial.features_as_of("energy", rows[["site", "meter"]].head(1), rows["event_timestamp"].max())
assert mlflow.get_tracking_uri() == perennial_uri, mlflow.get_tracking_uri()
mlflow.search_runs(experiment_names=["energy.training"])
"""


@pytest.mark.parametrize("uses", ["", USES], ids=["imports", "uses"])
def test_nothing_is_left_there(energy: UseCase, tmp_path: Path, uses: str) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    uri = f"perennial_uri = {settings().mlflow_uri!r}\n"
    done = subprocess.run(
        [sys.executable, "-c", IMPORTS + uri + uses],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert list(folder.iterdir()) == []
