"""`perennial ahead` as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pipelines import run_loop_until
from typed import run
from typer.testing import CliRunner

from perennial.cli import app
from perennial.errors import InvalidParams, UnknownVersion
from perennial.use_case import UseCase

DAY = "2024-01-05"


@pytest.fixture(scope="module")
def energy(project: Path, mlflow_server: str, energy: UseCase) -> UseCase:
    run_loop_until(energy, DAY)
    return energy


def ahead(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["ahead", *arguments])
    if done.exception:
        raise done.exception
    return done.stdout


def test_it_shows_the_leads_that_the_use_case_declares(energy: UseCase) -> None:
    lines = ahead("energy", DAY).splitlines()
    assert "energy 2024-01-05, v1, 288 examples with a label" in lines[0]
    rows = [line.split("│")[1:-1] for line in lines if line.startswith("│")]
    assert [row[0].strip() for row in rows] == ["not ahead", "1h", "6h"]
    errors = [float(row[1]) for row in rows]
    assert errors == sorted(errors), "the earlier, the worse"


def test_it_shows_other_leads_as_json(energy: UseCase) -> None:
    result = json.loads(ahead("energy", DAY, "--lead", "2d", "--lead", "3h", "--json"))
    assert (result["partition"], result["version"], result["examples"]) == (DAY, 1, 288)
    assert [each["lead"] for each in result["leads"]] == [0, 3 * 3600, 48 * 3600]
    assert {"rmse", "mae", "r2"} == result["leads"][0]["metrics"].keys()


def test_what_cannot_be_is_refused(energy: UseCase) -> None:
    with pytest.raises(InvalidParams, match="--lead soon is no length of time"):
        ahead("energy", DAY, "--lead", "soon")
    with pytest.raises(UnknownVersion, match="no champion at the start"):
        ahead("energy", "2024-01-01")


def test_a_mistyped_partition_is_told_before_anything_is_loaded() -> None:
    done = run("ahead", "flights", "2013-3")
    assert done.returncode == 2
    assert "Did you mean '2013-03'?" in done.stderr
