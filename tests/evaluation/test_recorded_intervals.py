"""Which margin a version has: by the ledger, and by what was known before a partition."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from perennial import PredictionInterval, discovery
from perennial.evaluation.recorded_intervals import RecordedMargin, recorded
from perennial.registry.ledger import Entry

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
    assert recorded(energy, LEDGER, 2) == RecordedMargin(2.0, 0.9, 100, 3)


def test_a_version_has_its_margin_while_it_is_tried(energy) -> None:
    tried = entry(5, "2024-01-08", "rollout", decision={"prediction_interval": kept(3.0), "champion": 2})
    assert recorded(energy, [*LEDGER, tried], 5).margin == 3.0


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
