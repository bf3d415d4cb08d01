"""Challengers that are tried beside a version of `served`, without a ledger."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from served import NOON, entry

from perennial.errors import PerennialError
from perennial.registry.rollouts import RolloutState, Stage
from perennial.serving.challengers import Challengers, Trial
from perennial.serving.loaded_version import LoadedVersion


def state(challenger: int = 2, champion: int = 1, share: float = 0.0) -> RolloutState:
    """A rollout in shadow, or as a canary of this share."""
    begun = replace(entry(challenger), event_id=f"rollout:{challenger}:0", action="rollout", previous_version=champion)
    return RolloutState(challenger, champion, NOON, 0, Stage(share, timedelta(days=1)), NOON, begun)


class Tried(Challengers):
    """One challenger of `energy`."""

    def __init__(
        self,
        version: LoadedVersion | None,
        share: float = 0.0,
        *,
        champion: int = 1,
        problem: PerennialError | None = None,
        **more: Any,
    ) -> None:
        super().__init__()
        number = version.number if version is not None else 2
        fields = {"entity": ("site", "meter"), "shadow_share": 1.0} | more
        self._trials["energy"] = Trial(state(number, champion, share), version, problem, **fields)

    def end(self) -> None:
        """The rollout is over."""
        self._trials.clear()
