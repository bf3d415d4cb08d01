"""Pairs of a rollout, from what both versions predicted of the same requests."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import polars as pl

from perennial.gate import rollout_evidence
from perennial.lake import prediction_columns

CLASSES = ("a", "b", "c")
USE_CASE = SimpleNamespace(name="tickets", task="multiclass", classes=CLASSES)


def test_of_classes_both_versions_probabilities_are_paired() -> None:
    made = np.array([[0.2, 0.5, 0.3], [0.1, 0.1, 0.8], [0.6, 0.2, 0.2], [0.3, 0.3, 0.4]])
    served = pl.DataFrame(
        {
            "prediction_id": ["by-champion", "its-shadow", "by-challenger", "its-other", "failed"],
            "shadow_of": [None, "by-champion", None, "by-challenger", None],
            "model_version": [1, 2, 2, 1, 1],
            "error": [None, None, None, None, "PredictionFailed"],
            "prediction": ["b", "c", "a", "c", None],
        }
        | {f"probability_{name}": [*made[:, place], None] for place, name in enumerate(CLASSES)}
    )
    state = SimpleNamespace(version=2, champion=1)
    pairs = rollout_evidence._predicted_by_both(prediction_columns.gathered(USE_CASE, served), state).to_pandas()
    assert np.array_equal(prediction_columns.array(pairs["challenger"]), made[[1, 2]])
    assert np.array_equal(prediction_columns.array(pairs["champion"]), made[[0, 3]])
