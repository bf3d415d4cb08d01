"""`perennial backtest`, as somebody types it."""

from __future__ import annotations

import json

import pytest
from pipelines import run_features_until
from typer.testing import CliRunner, Result

from perennial import lake
from perennial.backtesting import records
from perennial.cli import app
from perennial.errors import InvalidParams, NotEnoughData
from perennial.use_case import UseCase


@pytest.fixture(scope="module")
def energy(project, energy: UseCase) -> UseCase:
    run_features_until(energy, "2024-01-10")
    return energy


def run(*words: str) -> Result:
    done = CliRunner().invoke(app, ["backtest", *words])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


def test_it_shows_each_policy_and_says_what_follows(energy: UseCase) -> None:
    done = run("energy", "--policy", "max_age=2,cooldown=0")
    assert done.exit_code == 0
    for name in ("declared", "never", "always", "baseline", "max_age=2,cooldown=0"):
        assert name in done.stdout
    assert "is proven" in done.stdout or "Proposed" in done.stdout
    assert "Nothing that serves was touched" in done.stdout


def test_as_json_it_prints_nothing_else(energy: UseCase) -> None:
    report = json.loads(run("energy", "--json").stdout)
    assert report["metric"] == "rmse"
    assert report["last"] == "2024-01-10"
    assert report["partitions"][0] == "2024-01-04"


def test_the_references_are_in_the_lake(energy: UseCase) -> None:
    run("energy", "--policy", "never")
    assert {row["policy"] for row in lake.records(energy.tables.backtests)} == set(records.RECORDED)


def test_a_narrower_history_is_not_recorded(energy: UseCase) -> None:
    run("energy", "--policy", "never")
    before = lake.snapshot(energy.tables.backtests)
    done = run("energy", "--from", "2024-01-02", "--to", "2024-01-09", "--json")
    assert json.loads(done.stdout)["first"] == "2024-01-02"
    assert lake.snapshot(energy.tables.backtests) == before


def test_too_short_a_history_is_explained(energy: UseCase) -> None:
    with pytest.raises(NotEnoughData, match="no first model passes its gate"):
        run("energy", "--to", "2024-01-02")


def test_an_unknown_policy_is_explained(energy: UseCase) -> None:
    with pytest.raises(InvalidParams, match="is no policy"):
        run("energy", "--policy", "nevr")
