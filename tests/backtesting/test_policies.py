"""Policies as people write them."""

from __future__ import annotations

import pytest

from perennial import discovery
from perennial.backtesting import policies
from perennial.errors import InvalidParams
from perennial.use_case import UseCase


@pytest.fixture
def flights() -> UseCase:
    return discovery.load("flights")


def test_a_policy_is_the_use_case_with_changes(flights: UseCase) -> None:
    policy = policies.parse(flights, "max_age=1, margin=0,cooldown=0")
    assert policy.name == "max_age=1,margin=0.0,cooldown=0"
    assert policy.use_case.retraining == flights.retraining.model_copy(update={"max_age": 1, "cooldown": 0})
    assert policy.use_case.gate == flights.gate.model_copy(update={"margin": 0.0})
    assert policy.use_case.drift == flights.drift
    assert policy.can_be_declared


def test_a_value_may_be_none(flights: UseCase) -> None:
    policy = policies.parse(flights, "max_age=none,performance_drop=none")
    assert policy.use_case.retraining.max_age is None
    assert policy.use_case.drift.performance_drop is None
    assert policy.name == "max_age=none,performance_drop=none"


def test_what_changes_nothing_is_the_declared_policy(flights: UseCase) -> None:
    assert policies.parse(flights, "max_age=2,window=all").name == policies.DECLARED


@pytest.mark.parametrize("name", ["never", "always", "baseline", "declared"])
def test_a_reference_is_named(flights: UseCase, name: str) -> None:
    assert policies.parse(flights, name).name == name


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("alwys", "Did you mean 'always'"),
        ("max_agee=1", "Did you mean 'max_age'"),
        ("margin=-1", "greater than or equal to 0"),
        ("margin=much", "valid number"),
        ("max_age=1,", "is no policy"),
    ],
)
def test_a_wrong_policy_is_explained(flights: UseCase, text: str, said: str) -> None:
    with pytest.raises(InvalidParams, match=said) as error:
        policies.parse(flights, text)
    assert error.value.fix


def test_variations_differ_from_the_declared_policy_and_from_each_other(flights: UseCase) -> None:
    made = policies.variations(flights, 12)
    names = [each.name for each in made]
    assert len(set(names)) == len(names) >= 6
    assert policies.DECLARED not in names
    for each in made:
        assert policies.parse(flights, each.name) == each


def test_references_cannot_be_proposed(flights: UseCase) -> None:
    by_name = {each.name: each for each in policies.references(flights)}
    assert [name for name, each in by_name.items() if each.can_be_declared] == [policies.DECLARED]
    assert all(each.description for each in by_name.values())
