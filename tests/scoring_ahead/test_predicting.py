"""Predictions ahead of time: once a lead, before the moment, from what is known then, and from nothing later."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from ahead_cases import with_lead
from examples import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pipelines import run_loop_until

from perennial import lake
from perennial.errors import PerennialError
from perennial.feature_store import repository
from perennial.registry import ledger, model_loading
from perennial.scoring_ahead import predicting
from perennial.use_case import UseCase

pytestmark = pytest.mark.usefixtures("project", "mlflow_server")
#: The lake holds the whole day, as it does when the past is replayed.
DAY = "2024-01-05"
NOON = datetime(2024, 1, 5, 12, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)
TABLE = "energy.served_predictions"


@pytest.fixture(scope="module")
def energy(project, mlflow_server, energy: UseCase) -> UseCase:
    run_loop_until(energy, DAY)
    return energy


@pytest.fixture(autouse=True)
def no_predictions(energy) -> Iterator[None]:
    """Each test begins without predictions that were served."""
    yield
    if lake.table(TABLE) is not None:
        lake.catalog().drop_table(TABLE)


def at(moment: datetime) -> Callable[[], datetime]:
    return lambda: moment


def served() -> pa.Table:
    return lake.read(TABLE).sort_by([("read_at", "ascending"), ("meter", "ascending")])


def test_each_example_is_predicted_once_its_lead_has_come(energy) -> None:
    assert predicting.predict_ahead(energy, at(NOON)) == {"model_version": 1, "predictions": 6 * 12}
    rows = served()
    assert sorted(set(rows["read_at"].to_pylist())) == [NOON + HOUR / 2 + hour * HOUR for hour in range(6)]
    assert set(rows["served_as"].to_pylist()) == {"ahead"}
    assert set(rows["event_timestamp"].to_pylist()) == {NOON}
    assert set(rows["answered_at"].to_pylist()) == {NOON}
    assert set(rows["partition"].to_pylist()) == {DAY}
    assert rows["prediction"].null_count == rows["latency_ms"].null_count - rows.num_rows == 0


def test_the_predictions_are_the_champions_for_features_known_then(energy) -> None:
    predicting.predict_ahead(energy, at(NOON))
    rows = served()
    asked = rows.select(["site", "meter", "read_at", "event_timestamp", "hour_sin", "hour_cos"])
    known = repository.historical_features("energy", asked)
    assert rows["meter_last"].combine_chunks().equals(known["meter_last"].combine_chunks())
    assert set(rows["energy_meter_history__event_timestamp"].to_pylist()) == {NOON - HOUR / 2}
    expected = model_loading.load(energy, 1)(known.to_pandas())
    np.testing.assert_array_equal(rows["prediction"].to_numpy(), expected)


def test_running_again_predicts_nothing_again(energy) -> None:
    predicting.predict_ahead(energy, at(NOON))
    before = lake.snapshot(TABLE)
    assert predicting.predict_ahead(energy, at(NOON + timedelta(minutes=20)))["predictions"] == 0
    assert lake.snapshot(TABLE) == before


def test_the_next_lead_is_predicted_by_itself(energy) -> None:
    predicting.predict_ahead(energy, at(NOON))
    # An hour later an hour more is near enough, and what is now at most an hour off is predicted again.
    assert predicting.predict_ahead(energy, at(NOON + HOUR))["predictions"] == 2 * 12
    rows = served()
    again = rows.filter(pc.equal(rows["read_at"], pa.scalar(NOON + HOUR * 1.5)))
    assert sorted(set(again["event_timestamp"].to_pylist())) == [NOON, NOON + HOUR]


def test_after_an_outage_only_what_is_still_to_come_is_predicted(energy) -> None:
    predicting.predict_ahead(energy, at(NOON))
    predicting.predict_ahead(energy, at(NOON + 20 * HOUR))
    rows = served()
    late = rows.filter(pc.greater(rows["answered_at"], pa.scalar(NOON)))
    assert late.num_rows == 6 * 12
    assert pc.all(pc.greater(late["read_at"], late["answered_at"])).as_py()
    assert set(late["partition"].to_pylist()) == {"2024-01-06"}


def test_what_is_ready_only_at_its_moment_is_no_prediction(energy) -> None:
    clock = iter([NOON, NOON + HOUR / 2])
    assert predicting.predict_ahead(energy, lambda: next(clock))["predictions"] == 5 * 12
    assert min(served()["read_at"].to_pylist()) == NOON + HOUR * 1.5


def test_an_example_that_has_changed_is_predicted_again(energy, monkeypatch: pytest.MonkeyPatch) -> None:
    predicting.predict_ahead(energy, at(NOON))
    source = energy.module("source")
    readings = source.readings

    def moved(partition) -> pa.Table:
        rows = readings(partition)
        place = pc.if_else(pc.equal(rows["meter"], "meter-3"), "site-9", rows["site"])
        return rows.set_column(0, "site", place)

    monkeypatch.setattr(source, "readings", moved)
    assert predicting.predict_ahead(energy, at(NOON))["predictions"] == 6
    rows = served()
    new = rows.filter(pc.equal(rows["site"], "site-9"))
    assert new["missing"].to_pylist() == ['{"meter_last": "not-known", "meter_mean_24h": "not-known"}'] * 6


def test_ages_of_features_count_to_the_moment_of_scoring(energy) -> None:
    early = with_lead(energy, 60 * HOUR)
    # The views' ttl is 48 hours: at their own moment some of these examples would see nothing any more.
    predicting.predict_ahead(early, at(NOON))
    rows = served()
    assert max(rows["read_at"].to_pylist()) - NOON > 48 * HOUR
    assert rows["meter_last"].null_count == rows.num_rows - rows["missing"].null_count == 0


def test_two_at_once_predict_each_example_once(energy) -> None:
    with ThreadPoolExecutor(2) as threads:
        runs = [threads.submit(predicting.predict_ahead, energy, at(NOON + number * HOUR)) for number in (0, 0)]
        assert sorted(run.result()["predictions"] for run in runs) == [0, 72]
    rows = served()
    assert rows.num_rows == len(set(rows["prediction_id"].to_pylist())) == 72


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_killed_run_is_completed_by_the_next(energy, when: str) -> None:
    code = f"""
import os, signal
from datetime import datetime
from perennial import discovery
from perennial.scoring_ahead import predicting
from perennial.served_predictions import table
append = table.append
def killed(*arguments):
    if {when!r} == "after":
        append(*arguments)
    os.kill(os.getpid(), signal.SIGKILL)
table.append = killed
predicting.predict_ahead(discovery.load("energy"), lambda: datetime.fromisoformat({NOON.isoformat()!r}))
"""
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == -9, done.stderr
    added = predicting.predict_ahead(energy, at(NOON))["predictions"]
    assert added == (72 if when == "before" else 0)
    assert served().num_rows == 72


@settings(max_examples=examples(8), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(minutes=st.integers(0, 24 * 60 - 1), seed=st.integers(0, 2**32 - 1))
def test_nothing_known_later_changes_a_prediction(energy, minutes: int, seed: int) -> None:
    """Every feature row that became known after the moment is changed, dropped or added to: no prediction differs."""
    now = datetime(2024, 1, 5, tzinfo=UTC) + timedelta(minutes=minutes)
    champion = ledger.champion(energy)
    due = predicting.due_examples(energy, now)
    before = predicting.predicted(energy, champion, due, now)
    stored = lake.read("energy.meter_history", partitions=[DAY])
    random = np.random.default_rng(seed)
    later = pc.greater(stored["event_timestamp"], pa.scalar(now))
    changed = stored
    for name in ("meter_last", "meter_mean_24h"):
        values = pc.if_else(later, pa.array(random.normal(0, 1e9, stored.num_rows)), stored[name])
        changed = changed.set_column(stored.column_names.index(name), name, values)
    kept = pc.or_(pc.invert(later), pa.array(random.random(stored.num_rows) < 0.7))
    try:
        lake.replace("energy.meter_history", DAY, changed.filter(kept))
        assert predicting.predicted(energy, champion, due, now).equals(before)
        assert predicting.due_examples(energy, now).equals(due)
    finally:
        lake.replace("energy.meter_history", DAY, stored)


def test_what_was_known_by_then_does_change_a_prediction(energy) -> None:
    """The property above could otherwise hold because nothing is read at all."""
    champion = ledger.champion(energy)
    due = predicting.due_examples(energy, NOON)
    before = predicting.predicted(energy, champion, due, NOON)
    stored = lake.read("energy.meter_history", partitions=[DAY])
    values = pc.add(stored["meter_last"], 1.0)
    try:
        changed = stored.set_column(stored.column_names.index("meter_last"), "meter_last", values)
        lake.replace("energy.meter_history", DAY, changed)
        after = predicting.predicted(energy, champion, due, NOON)
    finally:
        lake.replace("energy.meter_history", DAY, stored)
    assert not after["prediction"].equals(before["prediction"])


def test_without_a_champion_nothing_is_predicted(energy) -> None:
    other = energy.model_copy(update={"name": "energy_of_nobody"})
    assert predicting.predict_ahead(other, at(NOON)) == {"model_version": None, "predictions": 0}


def test_a_use_case_that_does_not_say_how_is_refused(energy) -> None:
    undeclared = energy.model_copy(update={"examples": energy.examples.model_copy(update={"ahead": None})})
    with pytest.raises(PerennialError, match="does not say how far ahead"):
        predicting.predict_ahead(undeclared, at(NOON))
