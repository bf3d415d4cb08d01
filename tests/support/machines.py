"""What tests of machine rooms share: free ports, an Airflow on SQLite, a checkout with the use case `energy` alone."""

from __future__ import annotations

import atexit
import os
import shutil
import socket
import tempfile
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@cache
def airflow_on_sqlite() -> Path:
    """The home of the Airflow of this process, which is gone when the process ends.

    To be called by a conftest: Airflow reads its configuration when it is first imported, which is before any fixture.
    """
    home = Path(tempfile.mkdtemp(prefix="perennial-airflow-"))
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    os.environ.update(
        AIRFLOW_HOME=str(home),
        AIRFLOW__CORE__DAGS_FOLDER=str(ROOT / "dags"),
        AIRFLOW__CORE__PLUGINS_FOLDER=str(ROOT / "plugins"),
        AIRFLOW__CORE__LOAD_EXAMPLES="False",
        AIRFLOW__CORE__UNIT_TEST_MODE="False",
        AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=f"sqlite:///{home}/airflow.db",
        AIRFLOW__DATABASE__LOAD_DEFAULT_CONNECTIONS="False",
    )
    return home


def energy_checkout(prefix: str) -> tuple[Path, dict[str, str]]:
    """A folder with the project and `energy` as its only use case, and the environment of whatever runs in it.

    Not below pytest's folder: each pytest that starts closes that to other users, PostgreSQL's among them.
    """
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    for name in ("dags", "plugins", "config"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "tests/second_use_case/use_cases", folder / "code/use_cases")
    (folder / "feature_repo").mkdir()
    shutil.copy(ROOT / "feature_repo/feature_store.yaml", folder / "feature_repo")
    shutil.copy(ROOT / "tests/second_use_case/feature_repo/energy.py", folder / "feature_repo")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PERENNIAL_", "AIRFLOW_"))}
    return folder, inherited | {
        "PERENNIAL_PROJECT": str(folder),
        "PERENNIAL_HOME": str(folder / "home"),
        "PERENNIAL_AIRFLOW_PORT": str(free_port()),
        "PERENNIAL_MLFLOW_PORT": str(free_port()),
        "PERENNIAL_PARALLELISM": "2",
        "PYTHONPATH": str(folder / "code"),
    }
