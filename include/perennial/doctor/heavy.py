"""Questions that need Feast or Airflow. Run as a program, it prints the answer as one line of JSON.

python -m perennial.doctor.heavy definitions|dags
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

from perennial import discovery
from perennial.errors import PerennialError, ServiceUnavailable
from perennial.settings import settings


def definitions() -> dict[str, Any]:
    """What `feature_repo/` defines, what the use cases ask for, and what the registry holds.

    `registry` is the digest of the definitions applied last, empty if there are none, None if it does not answer.
    """
    from perennial._common.heavy_imports import fast_imports
    from perennial._common.storage import explaining_database

    with fast_imports():
        from perennial.feature_store import definitions, repository

        folder = settings().feature_repo
        told: dict[str, Any] = {"digest": definitions.digest(folder), "services": _services(), "silence": ""}
        try:
            with explaining_database(repository.REGISTRY):
                told["registry"] = repository.applied_digest() or ""
        except ServiceUnavailable as error:
            told |= {"registry": None, "silence": error.problem}
        try:
            told["defined"] = [service.name for service in definitions.read(folder).feature_services]
        except ServiceUnavailable:
            # All modules were imported; what their views promise could not be held against the lake.
            told["defined"] = list(told["services"].values())
    return told


def dags() -> dict[str, Any]:
    """How many DAGs there are, and which files cannot be read and why; as Airflow's dag-processor would find it."""
    project = settings().project
    with tempfile.TemporaryDirectory(prefix="perennial-doctor-") as home:
        # An Airflow that knows no database, and writes nowhere else.
        os.environ |= {
            "AIRFLOW_HOME": home,
            "AIRFLOW__CORE__DAGS_FOLDER": str(project / "dags"),
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(project / "plugins"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR",
        }
        from airflow.dag_processing.dagbag import DagBag

        began = time.monotonic()
        bag = DagBag(str(project / "dags"))
        return {
            "count": len(bag.dags),
            "files": len(list((project / "dags").glob("*.py"))),
            "errors": {file: str(said).strip().splitlines()[-1] for file, said in bag.import_errors.items()},
            "seconds": time.monotonic() - began,
        }


def _services() -> dict[str, str]:
    """The feature service that each use case asks for, as far as they load."""
    found = {}
    for name in discovery.names():
        try:
            found[name] = discovery.load(name).feature_service
        except PerennialError:
            continue
    return found


def main() -> None:
    """Answer the question that the command line names."""
    questions: dict[str, Callable[[], dict[str, Any]]] = {"definitions": definitions, "dags": dags}
    try:
        told = questions[sys.argv[1]]()
    except PerennialError as error:
        told = {"problem": " ".join(error.problem.split()), "fix": error.fix}
    except Exception as error:
        told = {"problem": f"{type(error).__name__}: {' '.join(str(error).split())}", "fix": ""}
    print(json.dumps(told))


if __name__ == "__main__":
    main()
