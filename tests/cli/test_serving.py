"""`perennial predict` as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pipelines import run_loop_until
from typed import run

from perennial.use_case import UseCase

AT = ("--at", "2024-01-05T23:00:00Z")
METER = ("site=site-0", "meter=meter-0", "hour_sin=-0.2588190451025207", "hour_cos=0.9659258262890683")


@pytest.fixture(scope="module")
def energy(project: Path, mlflow_server: str, energy: UseCase) -> UseCase:
    run_loop_until(energy, "2024-01-05")
    return energy


def test_predict_shows_the_prediction_and_what_it_was_made_from(energy: UseCase) -> None:
    done = run("predict", "energy", *METER, *AT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("energy v1: ")
    assert "missing" not in done.stdout
    shown = run("predict", "energy", *METER, *AT, "--features").stdout
    assert "  hour_cos: 0.9659258262890683\n" in shown
    assert "  energy_meter_history as of 2024-01-05 23:00:00 UTC\n" in shown


def test_predict_as_json_names_missing_features(energy: UseCase) -> None:
    done = run("predict", "energy", *METER, "--json")
    answer = json.loads(done.stdout)
    assert (answer["use_case"], answer["model_version"]) == ("energy", 1)
    assert answer["predictions"][0]["missing"] == {"meter_last": "expired", "meter_mean_24h": "expired"}
    unknown = run("predict", "energy", "site=x", "meter=y", "hour_sin=0", "hour_cos=", *AT).stdout
    assert "missing features, seen as null: meter_last (not-found), meter_mean_24h (not-found)" in unknown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("energy", "site=a", "hour_sin=noon", "hour_cos=0"), "examples[0].meter: missing; examples[0].hour_sin:"),
        (("energy", "site"), "'site' is not of the form FIELD=VALUE"),
        (("energy", "site=a", "site=b"), "'site' is given twice"),
        (("energy", *METER, "--at", "noon"), "'noon' is no moment"),
        (("flights", "carrier=AA"), "no champion in production yet"),
        (("energi", "site=a"), "Did you mean 'energy'?"),
    ],
)
def test_an_invalid_request_exits_with_2(energy: UseCase, arguments: tuple[str, ...], message: str) -> None:
    done = run("predict", *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
