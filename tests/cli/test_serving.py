"""`perennial predict` as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pipelines import run_loop_until
from typed import run
from typer.testing import CliRunner

from perennial.cli import app
from perennial.errors import InvalidParams, PerennialError, UnknownUseCase, UnknownVersion
from perennial.use_case import UseCase

AT = ("--at", "2024-01-05T23:00:00Z")
METER = ("site=site-0", "meter=meter-0", "hour_sin=-0.2588190451025207", "hour_cos=0.9659258262890683")


@pytest.fixture(scope="module")
def energy(project: Path, mlflow_server: str, energy: UseCase) -> UseCase:
    run_loop_until(energy, "2024-01-05")
    return energy


def predict(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["predict", *arguments])
    if done.exception:
        raise done.exception
    return done.stdout


def test_predict_shows_the_prediction_and_what_it_was_made_from(energy: UseCase) -> None:
    shown = predict("energy", *METER, *AT)
    assert shown.startswith("energy v1: ")
    assert "missing" not in shown
    used = predict("energy", *METER, *AT, "--features")
    assert "  hour_cos: 0.9659258262890683\n" in used
    assert "  energy_meter_history as of 2024-01-05 23:00:00 UTC\n" in used


def test_predict_as_json_names_missing_features(energy: UseCase) -> None:
    answer = json.loads(predict("energy", *METER, "--json"))
    assert (answer["use_case"], answer["model_version"]) == ("energy", 1)
    assert answer["predictions"][0]["missing"] == {"meter_last": "expired", "meter_mean_24h": "expired"}
    unknown = predict("energy", "site=x", "meter=y", "hour_sin=0", "hour_cos=", *AT)
    assert "missing features, seen as null: meter_last (not-found), meter_mean_24h (not-found)" in unknown


def test_an_invalid_request_exits_with_2(energy: UseCase) -> None:
    done = run("predict", "energy", "site=a", "hour_sin=noon", "hour_cos=0")
    assert done.returncode == 2
    assert "examples[0].meter: missing; examples[0].hour_sin: expected float | null, got str" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("energy", "site"), InvalidParams, "'site' is not of the form FIELD=VALUE"),
        (("energy", "site=a", "site=b"), InvalidParams, "'site' is given twice"),
        (("energy", *METER, "--at", "noon"), InvalidParams, "'noon' is no moment"),
        (("flights", "carrier=AA"), UnknownVersion, "no champion in production yet"),
        (("energi", "site=a"), UnknownUseCase, "Did you mean 'energy'?"),
    ],
)
def test_what_is_wrong_is_named(
    energy: UseCase, arguments: tuple[str, ...], error: type[PerennialError], message: str
) -> None:
    with pytest.raises(error) as raised:
        predict(*arguments)
    assert message in str(raised.value)


def test_a_token_is_shown_once_and_listed_by_name(energy: UseCase) -> None:
    made = CliRunner().invoke(app, ["token", "create", "shop", "--use-case", "energy", "--expires", "90d", "--json"])
    described = json.loads(made.stdout)
    assert described["use_cases"] == ["energy"]
    listed = CliRunner().invoke(app, ["token", "list"]).stdout
    assert listed.startswith("shop: energy, created ")
    assert described["token"] not in listed
    assert CliRunner().invoke(app, ["token", "revoke", "shop"]).stdout == "Token shop is revoked.\n"
    assert CliRunner().invoke(app, ["token", "list"]).stdout == "There are no tokens.\n"


def test_a_token_has_limits_and_permissions(energy: UseCase) -> None:
    made = CliRunner().invoke(app, ["token", "create", "often", "--rate", "100/s", "--may-pin", "--json"])
    described = json.loads(made.stdout)
    assert (described["rate"], described["may_pin"]) == ("100/s", True)
    assert "often: all use cases, created" in (listed := CliRunner().invoke(app, ["token", "list"]).stdout)
    assert listed.strip().endswith(", 100/s, chooses versions")
    refused = CliRunner().invoke(app, ["token", "create", "never", "--rate", "0/s"])
    assert isinstance(refused.exception, InvalidParams)
    CliRunner().invoke(app, ["token", "revoke", "often"])


@pytest.mark.parametrize("expires", ["", "d", "90", "0d", "-1d", "1y", "99999d", "²d"])
def test_a_token_lives_for_a_length_of_time(energy: UseCase, expires: str) -> None:
    done = CliRunner().invoke(app, ["token", "create", "shop", "--expires", expires])
    assert isinstance(done.exception, InvalidParams)
    assert "is no length of time" in str(done.exception)
