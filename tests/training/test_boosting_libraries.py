"""LightGBM, XGBoost and CatBoost: trained, stored without code, tried in a fresh process and reproduced to the bit."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
import skops.io
from pipelines import run_features_until, train
from sklearn.ensemble import VotingClassifier

from perennial import gate
from perennial.errors import TrainingFailed
from perennial.registry import model_loading, tracking
from perennial.reproduce import refit
from perennial.training import estimator
from perennial.use_case import UseCase

ROOT = Path(__file__).parents[2]


def lightgbm(task: str, seed: int) -> Any:
    from lightgbm import LGBMClassifier, LGBMRegressor

    kind = LGBMClassifier if task == "binary" else LGBMRegressor
    return kind(n_estimators=20, random_state=seed, deterministic=True, force_row_wise=True, verbose=-1)


def xgboost(task: str, seed: int) -> Any:
    from xgboost import XGBClassifier, XGBRegressor

    return (XGBClassifier if task == "binary" else XGBRegressor)(n_estimators=20, random_state=seed)


def catboost(task: str, seed: int) -> Any:
    from catboost import CatBoostClassifier, CatBoostRegressor

    kind = CatBoostClassifier if task == "binary" else CatBoostRegressor
    return kind(n_estimators=20, random_seed=seed, verbose=False, allow_writing_files=False)


LIBRARIES = [lightgbm, xgboost, catboost]
Library = Callable[[str, int], Any]


def documented(library: Library, task: str) -> tuple[str, ...]:
    """The types that the guide tells a user of the library to trust."""
    guide = (ROOT / "docs/add_a_use_case.md").read_text()
    kind = "Regressor" if task == "regression" else "Classifier"
    types = re.findall(rf"`({library.__name__}\.[\w.]+|collections\.OrderedDict)`", guide)
    wanted = {name for name in types if library is lightgbm or name != "collections.OrderedDict"}
    return tuple(sorted(name for name in wanted if not name.endswith(("Classifier", "Regressor")) or kind in name))


@pytest.fixture(scope="module")
def energy(project: Path, mlflow_server: str, energy: UseCase) -> UseCase:
    run_features_until(energy, "2024-01-03")
    return energy


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_version_is_stored_tried_and_reproduced(energy, library: Library, monkeypatch) -> None:
    trusted = energy.model_copy(update={"trusted_types": documented(library, "regression")})
    monkeypatch.setattr(energy.module("model"), "build", lambda params: library("regression", params.seed))
    version = train(trusted, library.__name__)
    decision = gate.evaluate(trusted, version)
    assert {rule.name: rule.passed for rule in decision.rules}["smoke test in a fresh process"]
    reproduction = refit.reproduce(trusted, version)
    assert {part.name: part.equal for part in reproduction.parts}["predictions"], reproduction
    address = mlflow.artifacts.download_artifacts(f"models:/energy/{version}/requirements.txt")
    assert library.__name__ in Path(address).read_text()
    assert tracking.client().get_run(tracking.run_of(energy, version)).data.tags["perennial.algorithm"]


@pytest.mark.parametrize("library", LIBRARIES)
def test_types_that_nobody_trusted_stop_the_training(energy, library: Library, monkeypatch) -> None:
    monkeypatch.setattr(energy.module("model"), "build", lambda params: library("regression", params.seed))
    with pytest.raises(TrainingFailed, match=rf"not known to be safe to load.*{library.__name__}(.|\n)*trusted_types"):
        train(energy, f"untrusted {library.__name__}")


@pytest.mark.parametrize("task", ["binary", "regression"])
@pytest.mark.parametrize("library", LIBRARIES)
def test_the_guide_names_the_types_of_a_library(library: Library, task: str, energy, tmp_path) -> None:
    random = np.random.default_rng(7)
    rows = pd.DataFrame(random.normal(size=(500, 3)), columns=["a", "b", "c"])
    rows.loc[::7, "b"] = np.nan
    label = (rows["a"] + random.normal(size=500) > 0).astype(int)
    model = library(task, 7).fit(rows, label)
    skops.io.dump(model, tmp_path / "model.skops")
    use_case = energy.model_copy(update={"task": task, "trusted_types": documented(library, task)})
    loaded = model_loading.estimator_from(use_case, 1, str(tmp_path))
    predicted, again = (model_loading.predictor(use_case, each)(rows) for each in (model, loaded))
    assert predicted.dtype == float
    assert np.array_equal(predicted, again)


def named(energy: UseCase) -> tuple[UseCase, pd.DataFrame]:
    """A use case of four classes, and rows of which three occur, in another order than that of the alphabet."""
    random = np.random.default_rng(7)
    rows = pd.DataFrame(random.normal(size=(500, 3)), columns=["a", "b", "c"])
    place = (rows["a"] > 0).astype(int) + (rows["b"] > 0.5)
    rows["label"] = np.array(["red", "green", "blue"], dtype=object)[place]
    return energy.model_copy(update={"task": "multiclass", "classes": ("red", "pink", "green", "blue")}), rows


@pytest.mark.parametrize("library", LIBRARIES)
def test_each_library_predicts_classes_by_name(library: Library, energy, tmp_path, monkeypatch) -> None:
    use_case, rows = named(energy)

    def build(params: Any) -> Any:
        model = library("binary", params.seed)
        return VotingClassifier([("model", model)], voting="soft") if library is xgboost else model

    monkeypatch.setattr(energy.module("model"), "build", build)
    model, _ = estimator.fit_estimator(use_case, use_case.params(), rows, ["a", "b", "c"])
    skops.io.dump(model, tmp_path / "model.skops")
    trusted = documented(library, "binary")
    loaded = model_loading.estimator_from(use_case.model_copy(update={"trusted_types": trusted}), 1, str(tmp_path))
    predicted, again = (model_loading.predictor(use_case, each)(rows[["a", "b", "c"]]) for each in (model, loaded))
    assert np.array_equal(predicted, again)
    assert (predicted[:, 1] == 0).all(), "nobody was pink"
    assert (np.array(use_case.classes)[predicted.argmax(axis=1)] == rows["label"]).mean() > 0.95


def test_xgboost_by_itself_takes_no_names_and_the_error_says_where_to_look(energy, monkeypatch) -> None:
    use_case, rows = named(energy)
    monkeypatch.setattr(energy.module("model"), "build", lambda params: xgboost("binary", params.seed))
    with pytest.raises(TrainingFailed) as failed:
        estimator.fit_estimator(use_case, use_case.params(), rows, ["a", "b", "c"])
    assert "docs/classes.md" in failed.value.fix
