"""What the doctor says of installed packages."""

from __future__ import annotations

from pathlib import Path

from examined import Examine

from perennial.doctor import examine
from perennial.doctor.examination import CHECKS


def test_packages_that_differ_from_the_lock_file(project: Path, examine_with: Examine) -> None:
    assert examine_with("Lock file", PERENNIAL_PROJECT=str(project))["Lock file"].state == "passed"
    lock = project / "requirements.lock"
    lines = ["typer==0.0.1 \\" if line.startswith("typer==") else line for line in lock.read_text().splitlines()]
    lock.write_text("\n".join([*lines, "not-a-package==1.0 \\", "not-here==2.0 ; sys_platform == 'win32' \\"]))
    findings = examine(tuple(check for check in CHECKS if check.name == "Lock file")).findings["Installation"]
    assert [finding.state for finding in findings] == ["warning", "warning"]
    assert "instead of 0.0.1" in findings[0].message
    assert findings[1].message.endswith("packages are missing: not-a-package")


def test_a_project_of_its_own_uses_an_installed_package(examine_with: Examine, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "shop"\n')
    assert examine_with("Environment", PERENNIAL_PROJECT=str(tmp_path))["Package"].state == "passed"


def test_entry_points_that_are_not_installed_yet(project: Path, examine_with: Examine) -> None:
    assert examine_with("Environment", PERENNIAL_PROJECT=str(project))["Package"].state != "failed"
    declared = project / "pyproject.toml"
    points = '[project.entry-points."mlflow.artifact_repository"]'
    assert points in declared.read_text()
    declared.write_text(declared.read_text().replace(points, f'{points}\nnew = "perennial.new:New"'))
    package = examine_with("Environment", PERENNIAL_PROJECT=str(project))["Package"]
    assert package.state == "failed"
    assert "mlflow.artifact_repository new" in package.message
