"""What a use case may declare about trying a challenger on live requests."""

from __future__ import annotations

from datetime import timedelta

import pytest
from pydantic import ValidationError

from perennial import CanaryStage, Rollout, discovery
from perennial.use_case import UseCase

DAY = timedelta(days=1)


def canary(*shares: float) -> tuple[CanaryStage, ...]:
    return tuple(CanaryStage(share=share, period=DAY) for share in shares)


def test_no_use_case_has_a_rollout_unless_it_says_so() -> None:
    assert discovery.load("flights").rollout is None


def test_shadow_and_canary_can_be_declared() -> None:
    declared = Rollout(shadow=7 * DAY, canary=canary(0.05, 0.5))
    assert (declared.after, declared.shadow_share, declared.longest) == ("holdout", 1.0, 28 * DAY)
    flights = discovery.load("flights")
    fields = {name: getattr(flights, name) for name in UseCase.model_fields}
    assert UseCase(**fields | {"rollout": declared}).rollout == declared


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({}, "needs `shadow`, `canary`, or both"),
        ({"canary": canary(0.5, 0.5)}, "have to grow"),
        ({"canary": canary(0.5, 0.1)}, "have to grow"),
        ({"shadow": 20 * DAY, "canary": canary(0.1, 1.0), "longest": 21 * DAY}, "shorter than the stages"),
        ({"shadow": timedelta(0)}, "greater than 0"),
        ({"shadow": DAY, "entity": ()}, "at least 1 item"),
        ({"shadow": DAY, "max_errors": 1.0}, "less than 1"),
        ({"shadow": DAY, "colour": "blue"}, "colour"),
    ],
)
def test_a_rollout_that_cannot_work_is_refused(fields: dict, problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        Rollout(**fields)


@pytest.mark.parametrize("share", [0.0, 1.01])
def test_a_share_is_between_none_and_all(share: float) -> None:
    with pytest.raises(ValidationError):
        CanaryStage(share=share, period=DAY)
