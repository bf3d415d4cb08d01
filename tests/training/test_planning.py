"""Plans, parameters and estimators that fail."""

from __future__ import annotations

import pandas as pd
import pytest

from perennial import discovery
from perennial.errors import InvalidParams, InvalidPartition, NotEnoughData, TrainingFailed
from perennial.registry import retraining_requests
from perennial.training import estimator, planning
from perennial.use_case import UseCase

pytestmark = pytest.mark.usefixtures("project")


@pytest.fixture
def energy(project, energy: UseCase) -> UseCase:
    """Under a name of its own, so that its requests and ledger are empty."""
    return energy.model_copy(update={"name": "planned"})


@pytest.mark.parametrize(
    ("conf", "message"),
    [
        ({"alhpa": 1}, "alhpa: Extra inputs(.|\n)*Known parameters: .*alpha"),
        ({"alpha": -1}, "alpha: .*greater than or equal to 0"),
        ({"alpha": "much"}, "alpha: .*number"),
        ({"seed": -1}, "seed"),
        ({"window_start": "2024-01-05", "window_end": "2024-01-02"}, "is after window_end"),
    ],
)
def test_bad_parameters_are_refused_by_name(energy, conf, message) -> None:
    with pytest.raises(InvalidParams, match=message):
        planning.plan_training(energy, None, conf)


def test_a_window_outside_the_use_case_is_refused(energy) -> None:
    with pytest.raises(InvalidPartition, match="has no partition '2023-12-31'"):
        planning.plan_training(energy, None, {"window_end": "2023-12-31"})


def test_without_data_there_is_nothing_to_plan(energy) -> None:
    with pytest.raises(NotEnoughData, match=r"no examples in the lake(.|\n)*planned.features"):
        planning.plan_training(energy, None, {})


def test_the_policys_window_ends_with_the_newest_open_request(energy) -> None:
    for key in ("2024-01-06", "2024-01-09"):
        assert retraining_requests.create(energy, energy.partition(key), "drift", {}, made_by=key)
    plan = planning.plan_training(energy, "2024-01-06", {})
    assert (plan.first, plan.last) == ("2024-01-05", "2024-01-09")
    assert plan.requests == ["2024-01-06:drift", "2024-01-09:drift"]


def test_a_person_who_names_no_window_gets_all_there_is(energy, monkeypatch) -> None:
    case = energy.model_copy(update={"name": "by_hand"})
    assert retraining_requests.create(case, case.partition("2024-01-06"), "drift", {}, made_by="a")
    monkeypatch.setattr(planning, "newest_partition", lambda use_case: "2024-01-12")
    assert planning.plan_training(case, None, {}).last == "2024-01-12"
    assert planning.plan_training(case, "2024-01-06", {}).last == "2024-01-06"


def test_a_request_inside_the_cooldown_is_not_made(energy) -> None:
    case = energy.model_copy(update={"name": "cooling"})
    assert retraining_requests.create(case, case.partition("2024-01-06"), "drift", {}, made_by="a")
    assert not retraining_requests.create(case, case.partition("2024-01-07"), "drift", {}, made_by="b")
    assert retraining_requests.create(case, case.partition("2024-01-08"), "drift", {}, made_by="c")


def test_an_alarm_does_not_wait_for_a_request_of_routine(energy) -> None:
    case = energy.model_copy(update={"name": "urgent"})
    days = [case.partition(f"2024-01-{day:02}") for day in range(6, 10)]
    assert retraining_requests.create(case, days[0], "age", {}, made_by="a")
    assert not retraining_requests.create(case, days[0], "drift", {}, made_by="a"), "a model of this day is under way"
    assert not retraining_requests.create(case, days[1], retraining_requests.SCHEDULE, {}, made_by="b")
    assert retraining_requests.create(case, days[1], "drift", {}, made_by="b")
    assert not retraining_requests.create(case, days[2], "performance", {}, made_by="c"), (
        "nor for the storm of an alarm"
    )
    assert not retraining_requests.create(case, days[2], "age", {}, made_by="c")
    assert retraining_requests.create(case, days[3], "age", {}, made_by="d")


def test_a_failing_estimator_names_file_and_columns(project) -> None:
    energy = discovery.load("energy")
    rows = pd.DataFrame({"meter_last": ["not a number"] * 3, "label": [1.0, 2.0, 3.0]})
    with pytest.raises(TrainingFailed, match=r"model.py failed on 3 rows with columns meter_last: ValueError"):
        estimator.fit_estimator(energy, planning.validate_params(energy, {}), rows, ["meter_last"])
