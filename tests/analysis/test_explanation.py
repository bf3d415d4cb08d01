"""Explanations of single predictions: they add up, they find what a model uses, and they cost no more than they say."""

from __future__ import annotations

import json
from datetime import timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typed import run
from typer.testing import CliRunner

import perennial
from perennial.analysis import explanation
from perennial.analysis.explanation import shapley_values
from perennial.cli import app
from perennial.errors import InvalidParams, NotEnoughData, PerennialError
from perennial.gate import challenger
from perennial.registry import ledger
from perennial.use_case import UseCase

ROWS = 30


def key_of(use_case: UseCase, row: pd.Series) -> dict[str, object]:
    return {name: row[name] for name in use_case.examples.key}


@pytest.fixture
def scored(energy: UseCase) -> pd.Series:
    return perennial.predictions("energy", "2024-01-05").iloc[7]


def a_frame(rows: int = ROWS) -> pd.DataFrame:
    random = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "number": random.normal(size=rows),
            "text": random.choice(["a", "b"], rows).astype(object),
            "whole": random.integers(0, 5, rows),
            "moment": pd.to_datetime(random.integers(0, 999, rows), unit="D", utc=True),
            "unused": random.normal(size=rows),
        }
    )


def interacting(rows: pd.DataFrame) -> np.ndarray:
    """It uses numbers, text, times and nulls, and some of them together."""
    assert rows["whole"].dtype == "int64"
    is_a = (rows["text"] == "a").to_numpy()
    days = rows["moment"].dt.dayofyear.to_numpy(float)
    return rows["number"].fillna(5).to_numpy() * is_a + rows["whole"].to_numpy() + 0.01 * days * is_a


@settings(max_examples=20)
@given(
    number=st.one_of(st.floats(-10, 10), st.none()),
    text=st.sampled_from(["a", "b", "never seen", None]),
    whole=st.integers(-3, 9),
)
def test_base_and_contributions_are_the_prediction(number, text, whole) -> None:
    rows = a_frame()
    rows["number"] = rows["number"].astype(object)
    rows.loc[0, ["number", "text", "whole"]] = [number, text, whole]
    rows["number"], rows["whole"] = rows["number"].astype(float), rows["whole"].astype("int64")
    base, contributions, _ = shapley_values(interacting, rows)
    assert base == pytest.approx(interacting(rows[1:]).mean())
    assert base + contributions.sum() == pytest.approx(interacting(rows[:1])[0])


def test_of_a_sum_each_term_is_its_own_contribution() -> None:
    rows = a_frame()
    _, contributions, _ = shapley_values(lambda each: (3 * each["number"] + each["whole"]).to_numpy(), rows)
    expected = {
        "number": 3 * (rows["number"] - rows["number"][1:].mean()),
        "whole": rows["whole"] - rows["whole"][1:].mean(),
    }
    assert contributions == pytest.approx([expected["number"][0], 0, expected["whole"][0], 0, 0])


def test_it_is_the_same_each_time_and_leaves_numpy_alone() -> None:
    np.random.seed(7)
    state = np.random.get_state()[1].copy()
    first, again = shapley_values(interacting, a_frame()), shapley_values(interacting, a_frame())
    assert np.array_equal(first[1], again[1])
    assert np.array_equal(np.random.get_state()[1], state)


def test_no_more_rows_are_predicted_than_it_says(monkeypatch) -> None:
    monkeypatch.setattr(explanation, "PREDICTED_ROWS", 1_000)
    _, _, predicted = shapley_values(interacting, a_frame())
    assert 0 < predicted <= 1_000


def test_a_scored_prediction_is_what_is_explained(energy: UseCase, scored: pd.Series) -> None:
    explained = perennial.explain("energy", key_of(energy, scored))
    assert explained.prediction == pytest.approx(scored["prediction"])
    assert (explained.stored, explained.stored_version) == (scored["prediction"], scored["model_version"])
    assert explained.remark == ""
    assert explained.partition == "2024-01-05"
    assert {each.feature: each.value for each in explained.contributions} == {
        each.feature: scored[each.feature] for each in explained.contributions
    }
    sizes = [abs(each.contribution) for each in explained.contributions]
    assert sizes == sorted(sizes, reverse=True)


def test_the_background_is_of_the_rows_fitted_on(energy: UseCase, scored: pd.Series) -> None:
    explained = perennial.explain("energy", key_of(energy, scored), partition="2024-01-05")
    data = challenger.training_set(energy, ledger.champion(energy).model_run)
    assert explained.background_rows == min(explanation.BACKGROUND_ROWS, len(data.fit))
    champion = perennial.champion("energy")
    assert champion.predict(data.fit).min() < explained.base < champion.predict(data.fit).max()


def test_an_unknown_key_is_an_error_that_names_it(energy: UseCase, scored: pd.Series) -> None:
    key = key_of(energy, scored) | {"read_at": scored["read_at"] + timedelta(days=99)}
    with pytest.raises(NotEnoughData, match=r"no prediction of site=.*in any partition"):
        perennial.explain("energy", key)
    with pytest.raises(NotEnoughData, match="in partition 2024-01-04"):
        perennial.explain("energy", key_of(energy, scored), partition="2024-01-04")


def test_a_key_with_other_columns_is_refused(energy: UseCase) -> None:
    with pytest.raises(InvalidParams, match="the key of an example is site, meter, read_at, not site"):
        perennial.explain("energy", {"site": "a"})


def test_a_value_of_another_type_is_refused(energy: UseCase, scored: pd.Series) -> None:
    with pytest.raises(InvalidParams, match="'soon' is no value of read_at"):
        perennial.explain("energy", key_of(energy, scored) | {"read_at": "soon"})


def test_without_shap_it_says_what_to_install(energy: UseCase, scored: pd.Series, monkeypatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(PerennialError, match=r"perennial\[explain\]"):
        perennial.explain("energy", key_of(energy, scored))


def test_a_training_set_that_is_gone_is_named(energy: UseCase, scored: pd.Series, monkeypatch) -> None:
    data = challenger.training_set(energy, ledger.champion(energy).model_run)
    moved = data.model_copy(update={"path": f"{data.path}.gone"})
    monkeypatch.setattr(challenger, "training_set", lambda *_: moved)
    with pytest.raises(PerennialError, match=r"training set .*\.gone of v1 is gone"):
        perennial.explain("energy", key_of(energy, scored))


def test_a_version_that_is_not_registered_is_refused(energy: UseCase, scored: pd.Series) -> None:
    with pytest.raises(PerennialError, match="99"):
        perennial.explain("energy", key_of(energy, scored), version=99)


def test_another_prediction_than_the_stored_is_remarked() -> None:
    given = {"use_case": "energy", "partition": "", "key": {}, "event_timestamp": None, "unit": "", "base": 0.0}
    given |= {"contributions": (), "background_rows": 1, "predicted_rows": 1, "stored": 0.5, "stored_version": 1}
    assert perennial.Explanation(version=1, prediction=0.5 + 1e-9, **given).remark == ""
    assert "predicts something else here" in perennial.Explanation(version=1, prediction=0.6, **given).remark
    assert (
        "v1 made the stored prediction, 0.5; this explains v2"
        in perennial.Explanation(version=2, prediction=0.5, **given).remark
    )


def test_the_command_shows_a_sum_and_json_has_it_all(energy: UseCase, scored: pd.Series) -> None:
    options = [each for name, value in key_of(energy, scored).items() for each in ("--key", f"{name}={value}")]
    shown = CliRunner().invoke(app, ["explain", "energy", *options])
    assert shown.exit_code == 0
    assert "training rows)" in shown.stdout
    assert "in predicted value" in shown.stdout
    as_json = json.loads(CliRunner().invoke(app, ["explain", "energy", *options, "--json"]).stdout)
    total = as_json["base"] + sum(each["contribution"] for each in as_json["contributions"])
    assert total == pytest.approx(scored["prediction"])


def test_a_key_without_a_value_is_invalid_input(energy: UseCase) -> None:
    done = run("explain", "energy", "--key", "site")
    assert done.returncode == 2
    assert "FIELD=VALUE" in done.stderr
