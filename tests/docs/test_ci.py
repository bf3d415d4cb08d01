"""The files that CI systems read: well formed, calling what exists, and allowed no more than they need."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yaml"))
JENKINS = (ROOT / "Jenkinsfile").read_text()
_MAKE = re.compile(r"\bmake ([a-z][a-z-]*)")


def jobs(file: Path) -> dict[str, dict[str, Any]]:
    return yaml.safe_load(file.read_text())["jobs"]


def commands(job: dict[str, Any]) -> str:
    return "\n".join(step.get("run", "") for step in job["steps"])


def targets() -> set[str]:
    return set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))


@pytest.fixture
def ci() -> dict[str, dict[str, Any]]:
    return jobs(ROOT / ".github/workflows/ci.yaml")


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_a_workflow_is_whole(file: Path) -> None:
    workflow = yaml.safe_load(file.read_text())
    assert workflow[True], "`on`, which YAML takes for true"
    for name, job in workflow["jobs"].items():
        assert {"runs-on", "timeout-minutes", "steps"} <= job.keys(), name
        assert set(_MAKE.findall(commands(job))) <= targets(), name
        for step in job["steps"]:
            assert ("run" in step) != ("uses" in step), name
        needed = job.get("needs", [])
        assert {needed} <= workflow["jobs"].keys() if isinstance(needed, str) else True


def test_pull_requests_run_lint_tests_plan_and_merges_apply(ci: dict[str, dict[str, Any]]) -> None:
    assert _MAKE.findall(commands(ci["check"])) == ["install", "lint", "test"]
    assert "make plan OUT=plan.md" in commands(ci["plan"])
    assert "make apply YES=1" in commands(ci["apply"])
    assert "pull_request" in ci["plan"]["if"]
    assert ci["apply"]["if"] == "github.event_name == 'push'"
    assert ci["apply"]["needs"] == "check"
    assert ci["apply"]["concurrency"]["cancel-in-progress"] is False


def test_only_what_runs_nothing_of_the_change_may_write(ci: dict[str, dict[str, Any]]) -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yaml").read_text())
    assert workflow["permissions"] == {"contents": "read"}
    assert [name for name, job in ci.items() if "permissions" in job] == ["comment"]
    assert ci["comment"]["permissions"] == {"pull-requests": "write"}
    assert not any("checkout" in step.get("uses", "") for step in ci["comment"]["steps"])
    assert "secrets." not in str(ci["comment"])
    assert "secrets." not in str(ci["check"])


def test_secrets_need_an_environment_and_absence_is_reported(ci: dict[str, dict[str, Any]]) -> None:
    for name in ("plan", "apply"):
        assert ci[name]["environment"] == f"features-{name}"
        first, *others = ci[name]["steps"]
        assert re.search(r"::(notice|warning) title=N", first["run"])
        assert all("steps.settings.outputs.given" in step["if"] for step in others)


def test_every_secret_is_a_documented_setting_or_login(ci: dict[str, dict[str, Any]]) -> None:
    from perennial.settings import Settings

    allowed = {f"PERENNIAL_{name.upper()}" for name in Settings.model_fields} | {"PERENNIAL_USER", "PERENNIAL_PASSWORD"}
    page = (ROOT / "docs/change_features.md").read_text()
    for name in ("plan", "apply"):
        for variable in ci[name]["env"]:
            assert variable in allowed or variable.startswith(("MLFLOW_TRACKING_", "AWS_")), variable
            assert variable in page or variable.startswith("AWS_"), variable


def test_settings_of_a_file_are_taken_as_they_stand(tmp_path: Path) -> None:
    values = {"PERENNIAL_CATALOG": '{"type": "glue"}', "PERENNIAL_DATABASE": "postgresql://u:p$w&'x@h/db?a=b"}
    file = tmp_path / "settings"
    file.write_text("# a comment\n\n" + "\n".join(f"{name}={value}" for name, value in values.items()))
    show = "import json, os; print(json.dumps(dict(os.environ)))"
    done = subprocess.run(
        [ROOT / ".ci/with-settings", file, sys.executable, "-c", show], capture_output=True, text=True, check=True
    )
    assert values.items() <= json.loads(done.stdout).items()


def test_a_failing_down_fails_and_clean_deletes_nothing(tmp_path: Path) -> None:
    (tmp_path / ".venv/bin").mkdir(parents=True)
    (tmp_path / ".perennial").mkdir()
    command = tmp_path / ".venv/bin/perennial"
    command.write_text("#!/bin/sh\nexit 1\n")
    command.chmod(0o755)
    for target in ("down", "clean"):
        done = subprocess.run(
            ["make", "-f", ROOT / "Makefile", "-C", tmp_path, target], capture_output=True, text=True, check=False
        )
        assert done.returncode == 2
        assert "Nothing is installed" not in done.stdout
    assert (tmp_path / ".perennial").is_dir()


def test_the_jenkinsfile_calls_what_exists_in_the_same_order() -> None:
    code = re.sub(r"(?m)^\s*//.*$|'[^']*'", "", JENKINS)
    for opening, closing in ("{}", "()", "[]"):
        assert code.count(opening) == code.count(closing)
    called = [name for line in re.findall(r"sh '([^']*)'", JENKINS) for name in _MAKE.findall(line)]
    assert called == ["install", "lint", "test", "plan", "apply"]
    assert set(called) <= targets()
