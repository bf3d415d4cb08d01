"""Airflow finds the plugin once, wherever Perennial is installed, and loads it at no cost."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DECLARED = "[airflow.plugins]\nperennial = perennial.pages.plugin:PerennialPlugin\n"
#: Of the metadata on the path, only those that are found first: the installed ones are not of the test.
FIRST = (
    "import sys; from importlib import import_module;"
    "im = import_module('importlib.metadata' if sys.version_info >= (3, 12) else 'importlib_metadata');"
    "every = im.distributions;"
    "im.distributions = lambda **where: {each.name: each for each in reversed(list(every(**where)))}.values();"
)
FINDS = FIRST + (
    "from airflow import plugins_manager as m; found = m.get_plugin_info();"
    "print(*(each['source'] for each in found if each['name'] == 'perennial'), m.get_import_errors(), sep='|')"
)
COSTS = (
    "import sys, airflow.sdk, perennial.pages; from airflow.plugins_manager import AirflowPlugin;"
    "airflow.sdk.BaseOperatorLink; before = set(sys.modules); from perennial.pages import plugin;"
    "print(len(set(sys.modules) - before));"
    "link, = plugin.PerennialPlugin.global_operator_extra_links; print(link.name, link.xcom_key, sep='|')"
)


def said(code: str, home: Path, plugins: Path, **environment: str) -> list[str]:
    """What a process with Airflow prints."""
    of_airflow = {"AIRFLOW_HOME": str(home), "AIRFLOW__CORE__PLUGINS_FOLDER": str(plugins)}
    environment |= os.environ | of_airflow | {"AIRFLOW__CORE__LOAD_EXAMPLES": "False"} | environment
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=120)
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    ("declared", "folder", "source"),
    [
        (DECLARED, "plugins", "perennial==0.1.0: "),
        (DECLARED, "none", "perennial==0.1.0: "),
        ("", "plugins", "$PLUGINS_FOLDER/perennial_plugin.py"),
    ],
    ids=["in-the-repository", "installed-alone", "installed-before-it-was-declared"],
)
def test_airflow_finds_it_once(declared: str, folder: str, source: str, tmp_path: Path) -> None:
    metadata = tmp_path / "path/perennial-0.1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.4\nName: perennial\nVersion: 0.1.0\n")
    (metadata / "entry_points.txt").write_text(declared)
    found, errors = said(FINDS, tmp_path, ROOT / folder, PYTHONPATH=str(metadata.parent))[-1].split("|")
    assert found.startswith(source)
    assert errors == "{}"


def test_it_is_light_and_knows_the_evidence_address(tmp_path: Path) -> None:
    count, link = said(COSTS, tmp_path, ROOT / "plugins")[-2:]
    assert int(count) <= 1
    assert link == "Evidence|report"
