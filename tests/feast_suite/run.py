"""Run Feast's own tests of offline stores against ours.

    make test-feast-suite FEAST_CHECKOUT=/path/to/feast       # a checkout of feast-dev/feast, at any nearby version
    python tests/feast_suite/run.py /path/to/feast -k persist # further arguments go to pytest

Only the checkout's `sdk/python/tests` is taken, into a temporary folder, so that the Feast under test is the installed
one. What these tests import beside Feast is laid over the environment for the run by `uv`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
NEEDED = ("minio", "testcontainers", "python-keycloak", "pytest-asyncio", "pytest-env", "pytest-mock", "assertpy")
NOT_OURS = "tests/integration/offline_store/test_non_entity_mode.py::test_non_entity_mode_preserves_multiple_timestamps"


def main(checkout: str, *arguments: str) -> int:
    """Run the suite; the exit code is pytest's."""
    source = Path(checkout) / "sdk" / "python"
    if not (source / "tests" / "universal").is_dir():
        print(f"{source / 'tests' / 'universal'} does not exist.\n  Fix: name a checkout of feast-dev/feast >= 0.66.")
        return 2
    with tempfile.TemporaryDirectory(prefix="feast-suite-") as folder:
        shutil.copytree(source / "tests", Path(folder) / "tests")
        shutil.copy(source / "pytest.ini", folder)
        command = [
            *(str(Path(sys.executable).parent / "uv"), "run", "--no-project", "--python", sys.executable),
            *(part for name in NEEDED for part in ("--with", name)),
            *("python", "-m", "pytest", "--integration", "-m", "universal_offline_stores", "--timeout", "600"),
            *("-o", "addopts=", "-q", "-p", "no:cacheprovider", *(arguments or ("--tb=short",))),
            "tests/integration/offline_store",
            # Feast's own integration of Great Expectations imports 0.x, which cannot be installed beside 1.x.
            "--ignore=tests/integration/offline_store/test_dqm_validation.py",
            # Feast marks it as for Ray alone: it wants 0.1 back from a source that itself stores it as float32.
            f"--deselect={NOT_OURS}",
        ]
        environment = os.environ | {
            "PYTHONPATH": f"{folder}{os.pathsep}{HERE}",
            "FULL_REPO_CONFIGS_MODULE": "perennial_stores",
            "FEAST_IS_LOCAL_TEST": "True",
            "IS_TEST": "True",
            "FEAST_USAGE": "False",
        }
        return subprocess.run(command, cwd=folder, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]) if len(sys.argv) > 1 else print(__doc__))
