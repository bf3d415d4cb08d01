"""Changing features on real servers, as a person does: edit, plan, apply, be interrupted, go on.

All tests of this file share the same servers, in order: each test finds what the earlier ones have done.
"""

from __future__ import annotations

import importlib
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from machines import energy_checkout

from perennial import lake
from perennial.feature_changes import planning, rendering
from perennial.services import postgres
from perennial.services.airflow_api import AirflowClient
from perennial.settings import settings

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
DAYS = ["2024-01-01", "2024-01-02", "2024-01-03"]
PATIENCE = 400.0


@dataclass(frozen=True)
class Project:
    """A checkout with the second use case, and the servers that run it."""

    folder: Path
    environment: dict[str, str]

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "perennial.cli", *arguments]

    def perennial(self, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments), env=self.environment | more, capture_output=True, text=True, timeout=PATIENCE
        )

    def done(self, *arguments: str) -> str:
        """What a command prints, once it has succeeded."""
        ended = self.perennial(*arguments)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout

    def plan(self) -> dict[str, Any]:
        """What `perennial plan --json` would print, without starting a process for it."""
        forget_code()
        return rendering.as_json(planning.plan())

    def left(self) -> list[str]:
        """The partitions that are to be computed again."""
        return [key for one in self.plan()["recompute"] for key in one["partitions"]]

    def edit(self, file: str, *changes: tuple[str, str]) -> None:
        path = self.folder / file
        text = path.read_text()
        for old, new in changes:
            assert old in text, f"{file} has no {old!r}"
            text = text.replace(old, new)
        path.write_text(text)

    def runs(self) -> list[str]:
        """The ids of the runs of `features` that `apply` made."""
        with AirflowClient() as client:
            return [run.id for run in client.runs_of_dag("energy.features", state="success", prefix="apply__")]


TRANSFORMS, DEFINITIONS = "code/use_cases/energy/transforms.py", "feature_repo/energy.py"


@pytest.fixture(scope="module")
def project() -> Iterator[Project]:
    """`perennial up` for a checkout of its own, with three days computed and online; `perennial down` at the end."""
    folder, environment = energy_checkout("perennial-changes-")
    running = Project(folder, environment)
    try:
        running.done("up")
        for day in DAYS:
            running.done("trigger", "energy", "features", "--partition", day, "--wait")
        with pytest.MonkeyPatch.context() as patch:
            for name in (
                "PERENNIAL_PROJECT",
                "PERENNIAL_HOME",
                "PERENNIAL_AIRFLOW_PORT",
                "PERENNIAL_MLFLOW_PORT",
                "PERENNIAL_SERVING_PORT",
            ):
                patch.setenv(name, environment[name])
            patch.syspath_prepend(folder / "code")
            patch.setattr(sys, "dont_write_bytecode", True)
            forget()
            yield running
        forget()
    finally:
        running.perennial("down")
        shutil.rmtree(folder, ignore_errors=True)


def forget() -> None:
    """What this process remembers of where things are."""
    for cached in (settings, postgres.engine, lake.catalog):
        cached.cache_clear()
    forget_code()


def forget_code() -> None:
    """The use case, as it was imported: its files have changed, or are those of another folder."""
    for module in [name for name in sys.modules if name.startswith("use_cases.energy")]:
        del sys.modules[module]
    importlib.invalidate_caches()


def test_what_the_pipelines_applied_leaves_nothing_to_do(project: Project) -> None:
    assert json.loads(project.done("plan", "--json"))["changes"] == []
    assert "Nothing to do" in project.done("apply", "--yes")
    assert project.runs() == []


def test_the_plan_says_how_long_the_last_computation_took(project: Project) -> None:
    project.edit(TRANSFORMS, ("readings.kwh})", "readings.kwh}).mutate(meter_last_wh=ibis._.meter_last * 1000)"))
    last = 'Field(name="meter_last", dtype=Float64)'
    project.edit(DEFINITIONS, (last, f'{last}, Field(name="meter_last_wh", dtype=Float64)'))
    made = project.plan()
    [one] = made["recompute"]
    assert one["partitions"] == DAYS
    assert one["seconds_last_time"] > 0
    assert one["measured"] == "3 runs of energy.features in Airflow"
    assert made["widened"] == {"energy.meter_history": ["meter_last_wh"]}
    assert not made["refused"]


def test_without_airflow_nothing_is_applied(project: Project) -> None:
    ended = project.perennial("apply", "--yes", PERENNIAL_AIRFLOW_URI="http://127.0.0.1:9")
    assert ended.returncode == 1
    assert "Nothing was applied" in ended.stderr
    assert project.plan()["changes"]


def test_applying_a_period_leaves_the_rest_to_be_computed(project: Project) -> None:
    output = project.done("apply", "--yes", "--from", "2024-01-02", "--to", "2024-01-03")
    assert "Registered." in output
    assert "2024-01-03  features   done" in output
    assert project.left() == ["2024-01-01"]
    assert not project.plan()["changes"]
    assert "2024-01-02" not in project.done("apply", "--yes")
    assert project.left() == []


def test_an_interrupted_backfill_says_so_and_resumes(project: Project) -> None:
    project.edit(TRANSFORMS, ("hours=23", "hours=11"))
    before = set(project.runs())
    # The first run waits for this lock once it has computed, and the command for that run, however fast the machine is.
    with postgres.advisory_lock("materialize", "perennial", "energy_meter_history"):
        going = subprocess.Popen(
            project.command("apply", "--yes"),
            env=project.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # Below a shell's background job Ctrl-C would be ignored.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        try:
            deadline = time.monotonic() + PATIENCE
            while project.left() != DAYS[:2]:  # The newest is computed first.
                assert going.poll() is None, going.communicate()
                assert time.monotonic() < deadline
            going.send_signal(signal.SIGINT)
            _, trouble = going.communicate(timeout=60)
        finally:
            going.kill()
        assert going.returncode == 130
        assert "resumes where it was" in trouble
        assert project.left() == DAYS[:2]
    project.done("apply", "--yes")
    assert project.left() == []
    made = set(project.runs()) - before
    assert sorted(run.rpartition("__")[2] for run in made) == DAYS, "each partition once"


def test_reverting_a_transform_computes_it_again(project: Project) -> None:
    project.edit(TRANSFORMS, ("hours=11", "hours=23"))
    project.done("apply", "--yes", "--to", "2024-01-01")
    assert project.left() == DAYS[1:]
    project.edit(TRANSFORMS, ("hours=23", "hours=11"))
    assert project.left() == ["2024-01-01"]
    project.done("apply", "--yes")
    assert project.left() == []


def test_a_failed_run_is_reported_and_retried(project: Project) -> None:
    project.edit(TRANSFORMS, ("readings.kwh})", "readings.kwh}).mutate(meter_last=ibis._.no_such_column)"))
    ended = project.perennial("apply", "--yes", "--to", "2024-01-01")
    assert ended.returncode == 1
    assert "no_such_column" in ended.stderr
    project.edit(TRANSFORMS, (".mutate(meter_last=ibis._.no_such_column)", ""))
    assert project.left() == []


def test_a_destructive_change_exits_3_until_acknowledged(project: Project) -> None:
    project.edit(DEFINITIONS, ("days=2", "days=1"))
    for command in (("plan",), ("plan", "--markdown"), ("apply", "--yes")):
        ended = project.perennial(*command)
        assert ended.returncode == 3
        assert "ttl 2 days -> 1 day" in ended.stdout
    (project.folder / "feature_repo/acknowledged.toml").write_text(
        '[[destroys]]\nobject = "view energy_meter_history"\nchange = "ttl 2 days -> 1 day"\n'
        'reason = "Meters report."\n'
    )
    assert "Meters report." in project.done("plan")
    assert "Registered." in project.done("apply", "--yes")
    assert not project.plan()["changes"]
    (project.folder / "feature_repo/acknowledged.toml").write_text(
        '[[destroys]]\nobject = "view energy_meter_history"\nchange = "removed"\nreason = "A slip."\n'
    )
    ended = project.perennial("plan")
    assert ended.returncode == 1
    assert "acknowledges what is not to be destroyed" in ended.stderr


def test_nobody_to_ask_is_an_error(project: Project) -> None:
    (project.folder / "feature_repo/acknowledged.toml").unlink()
    project.edit(DEFINITIONS, ("days=1", "days=3"))
    ended = project.perennial("apply")
    assert ended.returncode == 2
    assert "--yes" in ended.stderr
    assert project.plan()["changes"]
    assert project.perennial("apply", "--dry-run").returncode == 0
    assert project.plan()["changes"]


def test_a_recomputation_logs_that_nothing_was_fetched(project: Project) -> None:
    logs = (project.folder / "home/airflow/logs").rglob("*")
    ingest_logs = [file for file in logs if file.is_file() and "apply__" in str(file) and "ingest" in str(file)]
    deadline = time.monotonic() + 30
    while not any("nothing was fetched" in file.read_text() for file in ingest_logs):
        assert time.monotonic() < deadline
        time.sleep(1)
