"""What the doctor says of the project: DAGs, Feast definitions, use cases."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from examined import Examine

from perennial.embedded import postgres
from perennial.settings import settings


def test_dags_that_cannot_be_read_are_named(project: Path, examine_with: Examine) -> None:
    finding = examine_with("DAGs", PERENNIAL_PROJECT=str(project))["DAGs"]
    assert finding.state == "passed", finding
    (project / "dags" / "extra.py").write_text('"""An airflow dag."""\nfrom airflow.sdk import nothing_like_it\n')
    finding = examine_with("DAGs", PERENNIAL_PROJECT=str(project))["DAGs"]
    assert finding.state == "failed"
    assert "extra.py" in finding.message
    assert "nothing_like_it" in finding.message


def test_definitions_that_cannot_be_imported_are_named(project: Path, examine_with: Examine) -> None:
    (project / "feature_repo" / "extra.py").write_text("raise ValueError('no such thing')\n")
    finding = examine_with("Feast definitions", PERENNIAL_PROJECT=str(project))["Feast definitions"]
    assert finding.state == "failed"
    assert "extra.py" in finding.message
    assert "no such thing" in finding.message


def test_definitions_are_compared_with_the_registry(home: Path, project: Path, examine_with: Examine) -> None:
    postgres.start()
    postgres.create_databases()
    environment = {"PERENNIAL_PROJECT": str(project)}
    assert "not registered yet" in examine_with("Feast definitions", **environment)["Feast definitions"].message
    apply = "from perennial.feature_store import repository; repository.apply_if_changed()"
    subprocess.run([sys.executable, "-c", apply], check=True, timeout=120)
    assert examine_with("Feast definitions", **environment)["Feast definitions"].state == "passed"
    with (project / "feature_repo" / "flights.py").open("a") as file:
        file.write("\n# changed\n")
    finding = examine_with("Feast definitions", **environment)["Feast definitions"]
    assert finding.state == "warning"
    assert "other definitions are registered" in finding.message


def test_a_use_case_that_does_not_load_or_lacks_a_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, examine_with: Examine
) -> None:
    import use_cases

    for name, content in (("broken", "use_case = 1 / 0\n"), ("fine_but_empty", None)):
        folder = tmp_path / name
        folder.mkdir()
        declared = settings().project / "include/use_cases/flights/use_case.py"
        (folder / "use_case.py").write_text(
            content or declared.read_text().replace('name="flights"', f'name="{name}"', 1)
        )
    monkeypatch.setattr(use_cases, "__path__", [*use_cases.__path__, str(tmp_path)])
    findings = examine_with("Use cases")
    assert findings["flights"].state == "passed"
    assert "broken/use_case.py, line 1: ZeroDivisionError" in findings["broken"].message
    assert "has no source.py, no transforms.py" in findings["fine_but_empty"].message
