"""Which margin a version has: by the ledger, and by what was known before a partition."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from perennial import PredictionInterval, discovery
from perennial.evaluation.recorded_intervals import RecordedMargin, bounds_of, recorded
from perennial.registry.ledger import Entry
from perennial.registry.model_loading import Predictor

NOON = datetime(2024, 1, 9, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def energy():
    return discovery.load("energy").model_copy(update={"interval": PredictionInterval()})


def kept(margin: float | None) -> dict | None:
    return {"margin": margin, "coverage": 0.9, "rows": 100}


def entry(version: int, partition: str, action: str = "promoted", **evidence) -> Entry:
    return Entry(f"gate:{version}", partition, action, version, None, "run", NOON, "gate", "", evidence, NOON)


LEDGER = [
    entry(2, "2024-01-03", prediction_interval=kept(1.0), evaluated=1, champion=None),
    entry(
        3, "2024-01-06", "rejected", prediction_interval=kept(9.0), champion=2, champion_prediction_interval=kept(2.0)
    ),
    entry(4, "2024-01-08", "rejected", prediction_interval=kept(9.0), champion=2, champion_prediction_interval=None),
]


@pytest.mark.parametrize(
    ("version", "partition", "margin"),
    [(2, "2024-01-04", 1.0), (1, None, 1.0), (2, "2024-01-06", 1.0), (2, "2024-01-07", 2.0), (2, None, 2.0)],
    ids=["its own", "of its witness", "not on its own data", "renewed", "now"],
)
def test_the_newest_decision_before_a_partition_counts(energy, version, partition, margin) -> None:
    assert recorded(energy, LEDGER, version, partition).margin == margin


def test_what_a_margin_was_chosen_from_is_kept(energy) -> None:
    assert recorded(energy, LEDGER, 2) == RecordedMargin(2.0, 0.9, 100, 3, recorded_at=NOON)


def test_both_versions_have_their_margins_while_one_is_tried(energy) -> None:
    decision = {"prediction_interval": kept(3.0), "champion": 2, "champion_prediction_interval": kept(4.0)}
    tried = entry(5, "2024-01-08", "rollout", decision=decision)
    ended = replace(entry(5, "2024-01-08", "rejected", **decision), recorded_at=NOON + timedelta(days=7))
    for entries in ([*LEDGER, tried], [*LEDGER, tried, ended]):
        assert recorded(energy, entries, 5).margin == 3.0
        assert recorded(energy, entries, 2, "2024-01-08").margin == 2.0
        # Since the rollout began, not since it ended.
        now = recorded(energy, entries, 2, "2024-01-09")
        assert (now.margin, now.recorded_at) == (4.0, NOON)


def test_a_decision_on_the_same_newest_partition_renews_it(energy) -> None:
    again = entry(3, "2024-01-03", "rejected", champion=2, champion_prediction_interval=kept(5.0))
    assert recorded(energy, [LEDGER[0], again], 2, "2024-01-04").margin == 5.0


def test_what_was_recorded_later_does_not_count_at_a_moment(energy) -> None:
    later = replace(LEDGER[1], recorded_at=NOON + timedelta(hours=1))
    assert recorded(energy, [LEDGER[0], later], 2, "2024-01-09", NOON).margin == 1.0
    assert recorded(energy, [LEDGER[0], later], 2, "2024-01-09", NOON + timedelta(hours=1)).margin == 2.0


def test_what_the_gate_measured_comes_with_the_margin(energy) -> None:
    measured = kept(1.0) | {"width": 2.5, "blocks": 12, "block_deviation": 0.1}
    known = recorded(energy, [entry(2, "2024-01-03", prediction_interval=measured)], 2)
    assert (known.width, known.blocks, known.block_deviation) == (2.5, 12, 0.1)


def test_a_bound_that_is_not_finite_is_none(energy) -> None:
    rows = pd.DataFrame({"x": [1.0, 2.0]})
    predict = Predictor(
        lambda frame: frame, lambda frame: frame["x"].to_numpy(), lambda _: np.array([[0, 3], [0, np.inf]])
    )
    lower, upper = bounds_of(energy, predict, RecordedMargin(1.0, 0.9, 100, 1), rows, np.array([1.0, 2.0]))
    np.testing.assert_array_equal([lower, upper], [[-1, np.nan], [4, np.nan]])


@pytest.mark.parametrize(
    "entries",
    [[], [entry(7, "2024-01-03", threshold=None)], [entry(7, "2024-01-03", prediction_interval=kept(None))]],
    ids=["not decided on", "from before there were intervals", "too few rows"],
)
def test_a_version_without_a_recorded_margin_has_none(energy, entries) -> None:
    assert recorded(energy, entries, 7) is None


def test_an_older_version_gets_one_when_it_is_compared(energy) -> None:
    later = entry(8, "2024-01-05", "rejected", champion=7, champion_prediction_interval=kept(4.0))
    assert recorded(energy, [entry(7, "2024-01-03"), later], 7, "2024-01-06").margin == 4.0


def test_none_is_declared(energy) -> None:
    assert recorded(energy.model_copy(update={"interval": None}), LEDGER, 2) is None
