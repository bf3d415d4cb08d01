"""What is said to be better, and how surely."""

from __future__ import annotations

import json

import backtested
import numpy as np
import pytest
from rich.console import Console

from perennial import discovery, lake
from perennial.backtesting import comparison, records, report, running
from perennial.backtesting.report import PolicyResult
from perennial.evaluation import blocks


@pytest.fixture(scope="module")
def compared(energy):
    return running.run(energy, energy.first, energy.partition(backtested.LAST))


def result(name: str, mean: float, change: float | None, low: float | None, *, declarable: bool = True) -> PolicyResult:
    high = None if low is None else 2 * (change or 0) - low
    return PolicyResult(name, name, mean, {}, change, low, high, (), (), 1, 0.1, declarable)


DECLARED = result("declared", 0.70, None, None)


def test_a_proven_policy_goes_before_a_better_mean() -> None:
    lucky, sure = result("lucky", 0.75, 0.05, -0.01), result("sure", 0.72, 0.02, 0.01)
    assert comparison.propose([DECLARED, lucky, sure], higher_is_better=True) is sure


def test_without_a_proven_one_it_is_the_best_mean() -> None:
    lucky, better = result("lucky", 0.75, 0.05, -0.01), result("better", 0.71, 0.01, None)
    assert comparison.propose([DECLARED, lucky, better], higher_is_better=True) is lucky


def test_nothing_worse_is_proposed() -> None:
    worse = result("worse", 0.6, -0.1, -0.2)
    assert comparison.propose([DECLARED, worse], higher_is_better=True) is None


def test_a_reference_is_not_proposed() -> None:
    always = result("always", 0.8, 0.1, 0.05, declarable=False)
    assert comparison.propose([DECLARED, always], higher_is_better=True) is None


def test_of_an_error_the_lower_mean_is_proposed() -> None:
    less, more = result("less", 0.5, 0.2, 0.1), result("more", 0.6, 0.1, 0.05)
    assert comparison.propose([DECLARED, more, less], higher_is_better=False) is less


def test_where_nothing_is_better_few_histories_say_so() -> None:
    """In at most 5% of histories, and by what chance adds in 400 of them, any of eight policies is proven better."""
    flights = discovery.load("flights")
    keys = [f"2013-{month:02}" for month in range(1, 13)]
    block = comparison.blocks_of(flights, keys)
    random, confidence = np.random.default_rng(7), 1 - 0.05 / 8
    wrong = 0
    for _ in range(400):
        common = random.normal(0, 0.01, 12)
        changes = [common * random.uniform(0, 1) + random.normal(0, 0.005, 12) for _ in range(8)]
        intervals = [comparison.interval(flights, each, block, confidence) for each in changes]
        wrong += any(each.low > 0 for each in intervals)
    assert wrong / 400 <= 0.05 + 1.645 * (0.05 * 0.95 / 400) ** 0.5


def test_a_steady_gain_is_proven() -> None:
    flights = discovery.load("flights")
    keys = [f"2013-{month:02}" for month in range(3, 13)]
    gains = np.random.default_rng(1).normal(0.007, 0.003, len(keys))
    measured = comparison.interval(flights, gains, comparison.blocks_of(flights, keys), 1 - 0.05 / 8)
    assert 0 < measured.low < gains.mean() < measured.high


def test_too_few_partitions_have_no_interval() -> None:
    flights = discovery.load("flights")
    keys = ["2013-03", "2013-04", "2013-05"]
    assert comparison.interval(flights, np.ones(3), comparison.blocks_of(flights, keys), 0.95) is None


def test_partitions_of_one_block_are_one_block() -> None:
    flights = discovery.load("flights")
    gate = flights.gate.model_copy(update={"block": 365 * flights.gate.block, "holdout": 365 * flights.gate.holdout})
    yearly = flights.model_copy(update={"gate": gate})
    assert blocks.count_blocks(comparison.blocks_of(yearly, ["2013-03", "2013-04", "2013-05"])) == 1


def test_the_world_that_moved_is_seen_in_the_order_of_policies(compared) -> None:
    means = {each.name: each.mean for each in compared.policies}
    assert means["always"] < means["declared"] < means["never"] < means["baseline"]


def test_a_change_is_of_the_means(compared) -> None:
    declared = compared.policy("declared")
    for each in compared.policies:
        if each.change is not None:
            assert each.change == pytest.approx(declared.mean - each.mean)
            assert each.low < each.change < each.high
            assert each.by_partition.keys() == declared.by_partition.keys()


def test_the_confidence_is_corrected_for_the_number_of_policies(compared, energy) -> None:
    assert compared.compared == len(compared.policies) - 1
    assert compared.corrected == pytest.approx(1 - (1 - energy.gate.confidence) / compared.compared)


def test_the_table_fits_into_a_terminal(compared) -> None:
    console = Console(width=100, record=True)
    console.print(report.table(compared))
    shown = console.export_text()
    assert "…" not in shown
    for each in compared.policies:
        assert f"{each.mean:.4f}" in shown


def test_nothing_is_called_better_that_may_be_chance(compared) -> None:
    assert not compared.is_proven
    assert compared.sentence().startswith("No better policy is proven")


def test_the_references_are_recorded_once(compared, energy) -> None:
    assert records.append(energy, compared) == 4 * len(compared.partitions)
    assert records.append(energy, compared) == 0
    rows = lake.records(energy.tables.backtests)
    assert {row["policy"] for row in rows} == set(records.RECORDED)
    stored = {(row["policy"], row["partition"]): row["value"] for row in rows}
    for name in records.RECORDED:
        for key, value in compared.policy(name).by_partition.items():
            assert stored[name, key] == value


def test_the_result_is_json(compared) -> None:
    again = json.loads(json.dumps(compared.as_json()))
    assert again["proposal"] == compared.proposal
    assert again["notes"]
