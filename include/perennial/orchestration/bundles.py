"""Takes use cases and feature definitions from the DAG bundle that a DAG file is of, at the run's own commit."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from airflow.dag_processing.bundles.base import get_bundle_storage_root_path

from perennial.settings import settings, use_project

#: The folder, in that of a bundle, with a folder for each version of it: Airflow's layout.
_VERSIONS = "versions"


def use_project_of_bundle() -> None:
    """Let this process read the project that its DAG file is in, where Airflow fetched that as a bundle.

    Airflow pins a run to the bundle's version that it began with: a task's process has that version's folder on its
    import path, and a process that parses a DAG file has the newest one. Without bundles, or with those that are
    folders of this machine, everything is read from `PERENNIAL_PROJECT`. Data stay where they are.
    """
    found = _project_of_bundle()
    if found is None or found == settings().project:
        return
    replaced = str(settings().project / "include")
    # A version's folder is no repository, and may lie in one that knows nothing of it.
    os.environ["GIT_CEILING_DIRECTORIES"] = str(get_bundle_storage_root_path().resolve())
    use_project(found, commit=_version(found))
    sys.path[:] = [entry for entry in sys.path if entry != replaced]
    for name in [name for name in sys.modules if name.split(".")[0] == "use_cases"]:
        del sys.modules[name]


def _project_of_bundle() -> Path | None:
    """The project in the bundle that was put on the import path last; None: no bundle, or no project in it."""
    storage = get_bundle_storage_root_path().resolve()
    for entry in reversed(sys.path):
        path = Path(entry).resolve()
        if entry and path != storage and path.is_relative_to(storage):
            # A bundle may be a folder of the project, such as `dags/`, as the setting `subdir` says.
            inside = (path, *(above for above in path.parents if above.is_relative_to(storage)))
            return next((each for each in inside if (each / "feature_repo").is_dir()), None)
    return None


def _version(project: Path) -> str:
    """The version of the bundle that the folder is of: of a git bundle, the commit. Empty: the newest one."""
    storage = get_bundle_storage_root_path().resolve()
    _, *parts = project.relative_to(storage).parts
    return parts[1] if parts[:1] == [_VERSIONS] and len(parts) > 1 else ""
