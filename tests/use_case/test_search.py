"""What a use case may declare about the search for its parameters."""

from __future__ import annotations

from datetime import timedelta

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from pydantic import Field, ValidationError

from perennial import Range, Search, TrainingParams, discovery
from perennial.training.search.study import distributions
from perennial.use_case import UseCase


class Params(TrainingParams):
    iterations: int = Field(default=100, ge=10, le=1000)
    rate: float = Field(default=0.1, gt=0, le=1)
    loss: str = Field(default="squared", pattern="squared|absolute")
    depth: int | None = None


def declared(space: dict, params: type[TrainingParams] = Params) -> UseCase:
    flights = discovery.load("flights")
    fields = {name: getattr(flights, name) for name in UseCase.model_fields}
    return UseCase(**fields | {"params": params, "search": {"space": space}})


def test_no_use_case_searches_unless_it_says_so() -> None:
    assert discovery.load("flights").search is None


def test_a_search_needs_only_its_space() -> None:
    search = declared({"rate": Range(low=0.01, high=0.5, log=True)}).search
    assert (search.trials, search.folds, search.timeout) == (30, 4, None)


def test_numbers_are_searched_as_they_are_declared() -> None:
    space = {
        "iterations": Range(low=10, high=1000),
        "rate": Range(low=0.01, high=1, log=True),
        "loss": ("squared", "absolute"),
    }
    assert distributions(Params, declared(space).search.space) == {
        "iterations": IntDistribution(10, 1000),
        "rate": FloatDistribution(0.01, 1, log=True),
        "loss": CategoricalDistribution(("squared", "absolute")),
    }


@pytest.mark.parametrize(
    ("space", "problem"),
    [
        ({"rat": Range(low=0.01, high=0.5)}, "'rat' is not one of the estimator's parameters"),
        ({"seed": Range(low=1, high=5)}, "'seed' is not one of the estimator's parameters"),
        ({"rate": Range(low=0.01, high=2)}, "rate: .*less than or equal to 1: 2"),
        ({"rate": Range(low=0.2, high=1)}, "rate: the default 0.1 is not among"),
        ({"loss": ("absolute", "huber")}, "loss: the default 'squared' is not among"),
        ({"loss": ("squared", "huber")}, "loss: .*pattern.*'huber'"),
        ({"loss": ("squared",)}, "not two different values"),
        ({"loss": ("squared", "squared")}, "not two different values"),
        ({"loss": Range(low=1, high=2)}, "loss is not a number"),
        ({"iterations": Range(low=10.5, high=200)}, "iterations is a whole number, not 10.5 to 200"),
        ({"depth": Range(low=1, high=9)}, "depth: the default None is not among"),
        ({}, "at least 1 item"),
    ],
)
def test_a_space_that_cannot_work_is_refused(space: dict, problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        declared(space)


@pytest.mark.parametrize(
    ("fields", "problem"),
    [({"low": 2, "high": 1}, "low 2 is not below high 1"), ({"low": 0, "high": 1, "log": True}, "begins above 0")],
)
def test_a_range_is_from_low_to_high(fields: dict, problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        Range(**fields)


@pytest.mark.parametrize("fields", [{"trials": 1}, {"folds": 1}, {"timeout": timedelta(0)}, {"colour": "blue"}])
def test_a_search_that_cannot_work_is_refused(fields: dict) -> None:
    with pytest.raises(ValidationError):
        Search(space={"rate": Range(low=0.1, high=1)}, **fields)
