"""The champion of a use case as an object: its record, and its predictions."""

from __future__ import annotations

import numpy as np
import pytest

import perennial
from perennial.errors import PerennialError, UnknownVersion
from perennial.registry import ledger
from perennial.use_case import UseCase


def test_a_champion_has_the_record_of_the_ledger(energy: UseCase) -> None:
    champion, entry = perennial.champion("energy"), ledger.champion(energy)
    assert (champion.version, champion.since, champion.reason) == (1, entry.recorded_at, entry.reason)
    assert (champion.actor, champion.effective_from, champion.run_id) == ("gate", entry.effective_from, entry.model_run)
    assert f"holdout_{energy.gate.metric}" in champion.metrics
    assert champion.params["seed"] == str(energy.params().seed)


def test_a_champion_predicts_what_was_scored(energy: UseCase) -> None:
    scored = perennial.predictions("energy")
    assert np.array_equal(perennial.champion("energy").predict(scored), scored["prediction"].to_numpy())


def test_a_missing_feature_is_named(energy: UseCase) -> None:
    rows = perennial.predictions("energy").drop(columns="meter_last")
    with pytest.raises(PerennialError, match="meter_last"):
        perennial.champion("energy").predict(rows)


def test_without_a_champion_it_says_how_to_train_one(energy: UseCase) -> None:
    with pytest.raises(UnknownVersion, match="no champion in production"):
        perennial.champion("flights")
