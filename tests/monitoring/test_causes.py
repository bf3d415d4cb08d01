"""Each cause of an alarm on real stores: what the verdict says, and what becomes of its alarm."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from pipelines import run_features, train
from rewritten import rewrite

from perennial import discovery, gate, lake, scoring
from perennial.monitoring import monitor
from perennial.monitoring.verdict import Verdict
from perennial.partitions import Partition
from perennial.registry import ledger, retraining_requests
from perennial.reporting import partition_status, terminal
from perennial.use_case import UseCase

pytestmark = pytest.mark.usefixtures("project", "mlflow_server")


def day(use_case: UseCase, number: int) -> Partition:
    return use_case.partition(f"2024-01-{number:02}")


@pytest.fixture(scope="module")
def energy() -> UseCase:
    """A challenger must be better by more than it is for two more days of the same world."""
    declared = discovery.load("energy")
    return declared.model_copy(update={"gate": declared.gate.model_copy(update={"margin": 0.05})})


def with_noise(
    use_case: UseCase,
    partition: Partition,
    size: float,
    *,
    site: str = "",
    others: float = 0.1,
    share: float = 1.0,
    higher_by: float = 0.0,
) -> None:
    """Labels that differ from the meter's level by chance that no model can learn; those of a site by more.

    Only the first `share` of them is known.
    """

    def change(rows: pd.DataFrame) -> pd.DataFrame:
        noise = np.random.default_rng(partition.start.day).normal(0, 1, len(rows))
        scale = np.where(rows["site"] == site, size, others) if site else size
        rows["label"] = rows["meter"].str.removeprefix("meter-").astype(float) + higher_by + scale * noise
        rows.loc[rows["event_timestamp"].rank(method="first") > share * len(rows), "label"] = None
        return rows

    rewrite(use_case.tables.examples, partition, change)


def state(use_case: UseCase, partition: Partition) -> partition_status.AlarmState | None:
    shown = {one.partition: one for one in partition_status.status(use_case).partitions}
    return shown[partition.key].alarm


@pytest.fixture(scope="module")
def alarmed(energy: UseCase) -> Verdict:
    """A model of three days, and a fourth day on which the problem became harder for any model."""
    for number in range(1, 6):
        run_features(energy, day(energy, number))
        with_noise(energy, day(energy, number), 0.1)
        if number == 3:
            gate.finalize(energy, gate.evaluate(energy, train(energy, "first")))
        scoring.score(energy, day(energy, number))
    with_noise(energy, day(energy, 4), 2.0)
    return monitor.monitor(energy, day(energy, 4))


def test_an_alarm_is_open_until_a_newer_model_is_compared(energy, alarmed) -> None:
    fourth = day(energy, 4)
    assert (alarmed.verdict, alarmed.reason, alarmed.evidence.cause) == ("alarm", "performance", None)
    before = state(energy, fourth)
    assert (before.is_open, before.cause) == (True, "unknown")
    assert before.act == "start one: `perennial trigger energy training`"
    assert monitor.request_retraining(energy, fourth, alarmed, made_by="monitor")
    asked = state(energy, fourth)
    assert asked.is_open
    assert asked.explanation.startswith("retraining on data up to 2024-01-04 is requested")


def test_a_model_that_is_no_better_closes_the_alarm_as_harder(energy, alarmed) -> None:
    decision = gate.finalize(energy, gate.evaluate(energy, train(energy, "second", window_end="2024-01-04")))
    assert not decision.promote
    assert set(decision.slices) == {"site=site-0", "site=site-1", "site=site-2"}
    closed = state(energy, day(energy, 4))
    assert (closed.is_open, closed.decision, closed.act) == (False, decision.challenger, "")
    assert closed.cause == "harder"
    assert f"rmse of v1 is expected to be {decision.metrics['rival']['rmse']:.4g} from now on" in closed.explanation
    assert retraining_requests.open_requests(energy) == []
    shown = partition_status.status(energy)
    assert shown.open_alarms == ()
    assert shown.as_json()["partitions"][3]["alarm"]["is_open"] is False
    assert terminal.alarm_lines(shown)[-1].startswith("2024-01-04 closed, ")


def test_expected_metric_is_renewed_by_the_newer_comparison(energy, alarmed) -> None:
    fourth, fifth = day(energy, 4), day(energy, 5)
    (second,) = [entry for entry in ledger.decisions(energy) if entry.action == ledger.REJECTED]
    with_noise(energy, fifth, 2.0)
    renewed = monitor.monitor(energy, fifth)
    assert renewed.verdict != "alarm", renewed.explanation
    assert renewed.evidence.expected == second.evidence["metrics"]["rival"]["rmse"]
    source = renewed.evidence.expected_from
    assert (source.decision, source.partition) == (second.model_version, fourth.key)
    assert renewed.evidence.slices["site=site-1"].expected == second.evidence["slices"]["site=site-1"]["champion"]
    again = monitor.monitor(energy, fourth)
    assert again.evidence.expected == alarmed.evidence.expected, "a comparison that has seen the fourth day"


def test_a_further_fall_is_an_alarm_again(energy, alarmed) -> None:
    with_noise(energy, day(energy, 5), 4.0)
    fallen = monitor.monitor(energy, day(energy, 5))
    assert (fallen.verdict, fallen.reason) == ("alarm", "performance")
    assert "since it was compared with v2 on data up to 2024-01-04" in fallen.explanation
    assert state(energy, day(energy, 5)).is_open
    assert not state(energy, day(energy, 4)).is_open


def test_partial_labels_are_said_and_are_no_alarm(energy, alarmed) -> None:
    with_noise(energy, day(energy, 5), 4.0, share=0.5)
    partial = monitor.monitor(energy, day(energy, 5))
    assert (partial.verdict, partial.evidence.cause) != ("alarm", None)
    assert "performance" not in partial.evidence.alarms
    assert partial.evidence.cause == "labels"
    assert "performance is not known yet: 144 of 288 predictions have a label, 80% are needed" in partial.explanation
    assert state(energy, day(energy, 5)) is None


def test_an_alarm_of_one_slice_names_it(energy, alarmed) -> None:
    fifth = day(energy, 5)
    with_noise(energy, fifth, 6.0, site="site-1")
    fallen = monitor.monitor(energy, fifth)
    assert (fallen.reason, fallen.evidence.cause) == ("performance", "slice")
    assert {name for name, each in fallen.evidence.slices.items() if each.fell} == {"site=site-1"}
    assert "it is site=site-1 (" in fallen.explanation
    assert state(energy, fifth).cause == "slice"


def test_a_slice_that_fell_behind_a_good_average_is_an_alarm(energy, alarmed) -> None:
    fifth = day(energy, 5)
    with_noise(energy, fifth, 3.6, site="site-1", others=1.4)
    fallen = monitor.monitor(energy, fifth)
    assert (fallen.verdict, fallen.reason, fallen.evidence.alarms[0]) == ("alarm", "slice", "slice")
    assert fallen.evidence.lost < energy.drift.performance_drop
    assert fallen.explanation.startswith("rmse fell on site=site-1 (")


def test_broken_data_are_named_and_stay_open_until_fixed(energy, alarmed) -> None:
    fifth = day(energy, 5)
    with_noise(energy, fifth, 4.0)
    features = {"meter_last": None, "meter_mean_24h": None}
    kept = lake.read(energy.tables.predictions, partitions=[fifth.key]).to_pandas()
    rewrite(energy.tables.predictions, fifth, lambda rows: rows.assign(**features))
    broken = monitor.monitor(energy, fifth)
    assert (broken.reason, broken.evidence.cause) == ("performance", "broken-data")
    assert "fix the source" in broken.explanation
    assert any(told.startswith("meter_last: ") for told in broken.evidence.broken)
    opened = state(energy, fifth)
    assert (opened.is_open, opened.cause) == (True, "broken-data")
    assert "`perennial trigger energy features --partition 2024-01-05`" in opened.act

    decision = gate.finalize(energy, gate.evaluate(energy, train(energy, "on broken data")))
    assert not decision.promote
    assert state(energy, fifth).is_open, "that no model is better does not mend the data"

    rewrite(energy.tables.predictions, fifth, lambda rows: rows.assign(**{name: kept[name] for name in features}))
    with_noise(energy, fifth, 2.0)
    assert monitor.monitor(energy, fifth).verdict != "alarm"
    assert state(energy, fifth) is None


def test_a_better_model_closes_the_alarm_as_stale(energy, alarmed) -> None:
    fourth, fifth = day(energy, 4), day(energy, 5)
    for partition in (fourth, fifth):
        with_noise(energy, partition, 0.1, higher_by=5.0)
    assert monitor.monitor(energy, fifth).reason == "performance"
    window = {"window_start": "2024-01-04", "window_end": "2024-01-05"}
    decision = gate.finalize(energy, gate.evaluate(energy, train(energy, "of the new world", **window)))
    assert decision.promote, decision.reason
    closed = state(energy, fifth)
    assert (closed.is_open, closed.cause, closed.decision) == (False, "stale", decision.challenger)
    assert "is better (+" in closed.explanation
