"""The declared policy, replayed, does what the pipelines do: the same promotions, and the same live metric."""

from __future__ import annotations

import backtested
import pytest
from pipelines import run_loop_until

from perennial import lake
from perennial.backtesting import running
from perennial.monitoring import roles
from perennial.registry import ledger
from perennial.use_case import UseCase

LAST = "2024-01-09"


@pytest.fixture(scope="module")
def energy(project, mlflow_server) -> UseCase:
    with backtested.labels_mature_late():
        declared = backtested.energy()
        run_loop_until(declared, LAST)
        yield declared


@pytest.fixture(scope="module")
def report(energy: UseCase):
    return running.run(energy, energy.first, energy.partition(LAST), compared=[])


def live(energy: UseCase, role: str) -> dict[str, float]:
    rows = sorted(lake.records(energy.tables.metrics), key=lambda row: row["recorded_at"])
    return {row["partition"]: row["value"] for row in rows if (row["metric"], row["role"]) == ("rmse", role)}


def test_it_promotes_when_the_pipelines_do(energy, report) -> None:
    decided = [entry for entry in ledger.entries(energy) if entry.action in ledger.DECISIONS]
    promoted = [entry.partition for entry in decided if entry.action == ledger.PROMOTED]
    declared = report.policy("declared")
    assert [report.first_model, *declared.promotions] == [each for each in promoted if each < LAST]
    assert [report.first_model, *declared.requests] == [each.partition for each in decided if each.partition < LAST]
    assert 0 < len(declared.promotions) < len(declared.requests)


def test_it_reaches_the_production_performance(energy, report) -> None:
    for name, role in (("declared", roles.CHAMPION), ("never", roles.FIRST_MODEL)):
        assert report.policy(name).by_partition == pytest.approx(live(energy, role), rel=1e-9)
