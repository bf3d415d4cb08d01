"""Weights of rows, from the transform to the fitted version and its card."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import ibis
import numpy as np
import pytest
from pipelines import run_features, run_features_until, train

from perennial.errors import BadFeatures
from perennial.gate import challenger
from perennial.gate.model_card import facts, rendering
from perennial.registry import model_loading, tracking
from perennial.reproduce import refit
from perennial.training import estimator, planning
from perennial.use_case import UseCase


@pytest.fixture(scope="module")
def weighted(project: Path, mlflow_server: str, energy: UseCase) -> Iterator[UseCase]:
    """Energy whose transform says that rows of one site count ten times."""
    transforms = energy.module("transforms")
    examples = transforms.examples

    def with_weights(**inputs: ibis.Table) -> ibis.Table:
        rows = examples(**inputs)
        return rows.mutate(weight=ibis.ifelse(rows.site == "site-1", 10.0, 1.0))

    with pytest.MonkeyPatch.context() as changed:
        changed.setattr(transforms, "examples", with_weights)
        declared = energy.model_copy(update={"examples": energy.examples.model_copy(update={"weight": "weight"})})
        run_features_until(declared, "2024-01-03")
        yield declared


def test_weights_change_the_fit_and_are_recorded(weighted, energy) -> None:
    version = train(weighted, "weighted")
    run = tracking.client().get_run(tracking.run_of(weighted, version))
    assert run.data.tags["perennial.weight"] == "weight"
    assert "weight" not in model_loading.inputs(weighted, version)
    data, columns = challenger.training_set(weighted, run.info.run_id), model_loading.inputs(weighted, version)
    unweighted, _ = estimator.fit_estimator(energy, energy.params(), data.fit, columns)
    predicted = model_loading.load(weighted, version)(data.holdout)
    assert np.abs(predicted - unweighted.predict(data.holdout[columns])).max() > 0
    assert "| Weights of the rows | column `weight`" in rendering.markdown(facts.gather(weighted, version))
    parts = {part.name: part.equal for part in refit.reproduce(weighted, version).parts}
    assert parts["data"]
    assert parts["predictions"]


def test_a_transform_without_the_column_is_named(weighted, monkeypatch) -> None:
    other = weighted.model_copy(update={"examples": weighted.examples.model_copy(update={"weight": "importance"})})
    with pytest.raises(BadFeatures, match="importance"):
        run_features(other, other.partition("2024-01-04"))


def test_a_version_from_before_the_weights_is_built_again(weighted) -> None:
    version = train(weighted, "older", force=True)
    declared = weighted.examples.model_copy(update={"weight": "importance"})
    parts = {
        part.name: part for part in refit.reproduce(weighted.model_copy(update={"examples": declared}), version).parts
    }
    assert parts["data"].equal
    assert parts["predictions"].equal is None
    assert "cannot be fitted by the code here" in parts["predictions"].findings[0]


def test_rows_from_before_the_weights_are_not_used(weighted) -> None:
    other = weighted.model_copy(update={"examples": weighted.examples.model_copy(update={"weight": "importance"})})
    with pytest.raises(BadFeatures, match="computed by an earlier version"):
        planning.build_training_set(other, planning.plan_training(other, None, {}))
