"""`perennial apply --json`: the plan and what became of it, and nothing else on standard output."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typed import NOWHERE, run

from perennial import discovery
from perennial.cli.features import _Done
from perennial.errors import PerennialError
from perennial.feature_changes import planning
from perennial.ingestion import compute, ingest
from perennial.runs.progress import Step


@pytest.fixture(scope="module")
def applied_project(project: Path) -> Path:
    """A lake that holds one day of `energy`; nothing is registered."""
    energy = discovery.load("energy")
    ingest.ingest_partition(energy, energy.partition("2024-01-01"))
    compute.compute_features(energy, energy.partition("2024-01-01"))
    return project


def applied(project: Path, *arguments: str, code: int = 0) -> dict:
    where = {"PERENNIAL_HOME": str(project.parent), "PERENNIAL_PROJECT": str(project)} | NOWHERE
    done = run("apply", "--json", *arguments, **where)
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout)


def test_a_dry_run_tells_what_would_be_computed(applied_project: Path) -> None:
    result = applied(applied_project, "--recompute", "--dry-run")
    assert result["registered"] is False
    assert result["plan"]["changes"]
    assert {
        "use_case": "energy",
        "partition": "2024-01-01",
        "state": "would-be-computed",
        "seconds": None,
        "run": None,
        "quarantine": None,
    } in result["computed"]


def test_without_airflow_nothing_starts_and_an_error_says_so(applied_project: Path) -> None:
    told = applied(applied_project, "--recompute", "--yes", code=1)
    assert (told["registered"], {each["state"] for each in told["computed"]}) == (False, {"not-begun"})


def test_what_was_registered_is_reported_once(applied_project: Path) -> None:
    assert applied(applied_project, "--yes", "--no-backfill")["registered"] is True
    again = applied(applied_project, "--yes", "--no-backfill")
    assert (again["registered"], again["plan"]["changes"], again["computed"]) == (False, [], [])


@pytest.mark.usefixtures("applied_project")
def test_each_partition_has_the_state_that_it_came_to() -> None:
    energy = discovery.load("energy")
    days = [energy.partition(f"2024-01-0{day}") for day in (1, 2, 3)]
    done = _Done(planning.plan())
    done.expect([(energy, days)], "not-begun")

    def steps():
        yield Step("2024-01-01", "features", "started", url="http://run/1")
        yield Step("2024-01-01", "features", "done", 1.25)
        yield Step("2024-01-02", "features", "started", url="http://run/2")
        raise PerennialError("It failed.")

    with pytest.raises(PerennialError):
        list(done.watched(energy, steps()))
    assert [(each["state"], each["seconds"], each["run"]) for each in done.as_json()["computed"]] == [
        ("done", 1.2, "http://run/1"),
        ("failed", None, "http://run/2"),
        ("not-begun", None, None),
    ]
