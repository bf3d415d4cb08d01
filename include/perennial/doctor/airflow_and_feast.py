"""Reads the Feast definitions and the DAG files, with the libraries for it; prints the result as one line of JSON.

python -m perennial.doctor.airflow_and_feast definitions|dags
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
    """What `feature_repo/` defines, which feature services the use cases name, and what is registered.

    Returns:
        `digest` of the definitions, `services` by use case, names of services `defined`, and `registry`: the digest
        that was applied last, empty if there is none, None if the registry does not answer; `registry_error` says why.
    """
    from perennial._common.heavy_imports import fast_imports
    from perennial._common.storage import explaining_database

    with fast_imports():
        from perennial.feature_store import definitions, repository

        folder = settings().feature_repo
        result: dict[str, Any] = {"digest": definitions.digest(folder), "services": _services(), "registry_error": ""}
        try:
            with explaining_database(repository.REGISTRY):
                result["registry"] = repository.applied_digest() or ""
        except ServiceUnavailable as error:
            result |= {"registry": None, "registry_error": error.problem}
        try:
            result["defined"] = [service.name for service in definitions.read(folder).feature_services]
        except ServiceUnavailable:
            # All modules were imported; only the lake, which their views are checked against, does not answer.
            result["defined"] = list(result["services"].values())
    return result


def dags() -> dict[str, Any]:
    """How many DAGs there are, and which files cannot be read and why, as for Airflow's dag-processor.

    Returns:
        `count` of DAGs, `files`, `errors` by file, and `seconds` that reading them took.
    """
    project = settings().project
    with tempfile.TemporaryDirectory(prefix="perennial-doctor-") as home:
        # With a home and a database of its own, so that nothing else is written.
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
            "errors": {file: str(trace).strip().splitlines()[-1] for file, trace in bag.import_errors.items()},
            "seconds": time.monotonic() - began,
        }


def _services() -> dict[str, str]:
    """The feature service that each use case names; use cases that do not load are left out."""
    services = {}
    for name in discovery.names():
        try:
            services[name] = discovery.load(name).feature_service
        except PerennialError:
            continue
    return services


def main() -> None:
    """Print what the command line names."""
    readers: dict[str, Callable[[], dict[str, Any]]] = {"definitions": definitions, "dags": dags}
    try:
        result = readers[sys.argv[1]]()
    except PerennialError as error:
        result = {"problem": " ".join(error.problem.split()), "fix": error.fix}
    except Exception as error:
        result = {"problem": f"{type(error).__name__}: {' '.join(str(error).split())}", "fix": ""}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
