"""A use case is checked when it is declared."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, ValidationError

from perennial import (
    Ahead,
    Cadence,
    Examples,
    FeatureTable,
    Gate,
    RawTable,
    Refresh,
    TrainingParams,
    UseCase,
    discovery,
)
from perennial.errors import InvalidPartition, UnknownUseCase

HOUR = timedelta(hours=1)


class WrongDefault(TrainingParams):
    depth: int = Field(default=0, ge=1)


class NoDefault(TrainingParams):
    depth: int


def declare(**changes: Any) -> UseCase:
    fields: dict[str, Any] = {
        "name": "taxis",
        "title": "Taxis",
        "description": "How long?",
        "owner": "city",
        "task": "regression",
        "cadence": Cadence.MONTHLY,
        "start": "2013-01",
        "end": "2014-01",
        "raw": (RawTable(name="trips", key=("id",)),),
        "features": (FeatureTable(name="zones", key=("zone",), inputs=("trips",)),),
        "examples": Examples(key=("id",), inputs=("trips",)),
        "feature_service": "taxis",
        "gate": Gate(metric="rmse", holdout=timedelta(days=5)),
        "triage": "Call the city.",
    }
    return UseCase(**fields | changes)


def test_a_complete_declaration_is_accepted() -> None:
    assert declare().partition("2013-03").key == "2013-03"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "Taxis!"}, "lower case"),
        ({"colour": "yellow"}, "Extra inputs"),
        ({"owner": ""}, "at least 1"),
        ({"end": "2012-01"}, "not after start"),
        ({"start": "2013"}, "not the name of a monthly partition"),
        ({"gate": Gate(metric="roc_auc", holdout=timedelta(days=5))}, "not one of rmse"),
        ({"examples": Examples(key=("id",), inputs=("rides",))}, "'rides' is not a raw table"),
        ({"features": (FeatureTable(name="trips", key=("z",), inputs=("trips",)),)}, "used twice"),
        ({"features": (FeatureTable(name="ledger", key=("z",), inputs=("trips",)),)}, "reserved"),
        (
            {"refresh": Refresh(every=HOUR), "cadence": Cadence.HOURLY, "start": "2013-01-01T00", "end": None},
            "not shorter",
        ),
        ({"params": WrongDefault}, "depth: Input should be greater"),
        ({"params": NoDefault}, "depth: Field required"),
    ],
)
def test_a_mistake_is_refused_and_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises((ValidationError, InvalidPartition), match=message):
        declare(**changes)


def test_a_use_case_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        declare().owner = "somebody else"


@pytest.mark.parametrize("key", ["2012-12", "2014-01", "2020-05"])
def test_a_partition_outside_the_use_case_does_not_exist(key: str) -> None:
    with pytest.raises(InvalidPartition, match=r"'taxis' has no partition '.*'(.|\n)*from 2013-01 to 2013-12"):
        declare().partition(key)


def test_use_cases_are_found_in_every_folder_of_the_namespace() -> None:
    assert {"flights", "energy"} <= set(discovery.names())


def test_an_unknown_use_case_gets_the_closest_name() -> None:
    with pytest.raises(UnknownUseCase, match="Did you mean 'flights'"):
        discovery.load("flight")


@pytest.mark.parametrize("name", ["flights", "energy"])
def test_every_use_case_loads_and_has_all_its_functions(name: str) -> None:
    use_case = discovery.load(name)
    for table in use_case.raw:
        assert callable(getattr(use_case.module("source"), table.name))
    for table in (*use_case.features, "examples"):
        assert callable(getattr(use_case.module("transforms"), getattr(table, "name", table)))
    assert callable(use_case.module("model").build)


def test_a_gate_that_could_never_promote_is_an_error() -> None:
    with pytest.raises(ValidationError, match=r"has 4 blocks of .*Lengthen gate\.holdout or shorten gate\.block"):
        Gate(metric="rmse", holdout=timedelta(days=4))
    assert Gate(metric="rmse", holdout=timedelta(days=4), block=timedelta(hours=6)).min_blocks == 5


def test_a_short_window_limits_the_holdout_to_its_share() -> None:
    gate = Gate(metric="roc_auc", holdout=timedelta(days=28), holdout_share=0.2)
    use_case = discovery.load("flights").model_copy(update={"gate": gate})
    start = datetime(2013, 1, 1, tzinfo=UTC)
    assert use_case.holdout_start(start, start + timedelta(days=300)) == start + timedelta(days=272)
    assert use_case.holdout_start(start, start + timedelta(days=50)) == start + timedelta(days=40)


DAY = timedelta(days=1)


def early(columns: tuple[str, ...] = ("id", "at"), **ahead: Any) -> UseCase:
    trips = RawTable(name="trips", key=("id",), time="at", known_ahead=columns)
    how = Ahead(**{"leads": (DAY,), "known": 2 * DAY} | ahead)
    return declare(raw=(trips,), examples=Examples(key=("id",), inputs=("trips",), ahead=how))


def test_predicting_ahead_needs_to_be_told_what_is_known() -> None:
    assert early().examples.ahead.every == "0 * * * *"
    with pytest.raises(ValidationError, match="known_ahead of raw table 'trips' does not name at, id"):
        early(columns=())
    with pytest.raises(ValidationError, match=r"does not name at;"):
        early(columns=("id", "distance"))


@pytest.mark.parametrize(
    ("ahead", "message"),
    [
        ({"leads": ()}, "at least 1"),
        ({"leads": (timedelta(0),)}, "leads are positive"),
        ({"leads": (DAY, 2 * DAY)}, "the longest first"),
        ({"leads": (DAY, DAY)}, "differ"),
        ({"known": DAY / 2}, "less than the lead 1 day"),
        ({"every": "hourly"}, "five fields"),
    ],
)
def test_leads_that_cannot_be_are_refused(ahead: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        early(**ahead)


@given(st.lists(st.integers(1, 100), min_size=1, unique=True), st.integers(0, 120))
def test_the_lead_that_is_due_is_the_shortest_that_has_come(hours: list[int], remaining: int) -> None:
    leads = tuple(timedelta(hours=hour) for hour in sorted(hours, reverse=True))
    due = Ahead(leads=leads, known=leads[0]).lead_due(timedelta(hours=remaining))
    come = [lead for lead in leads if timedelta(hours=remaining) <= lead]
    assert due == min(come, default=None)
