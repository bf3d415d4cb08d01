"""The challengers that are tried: loaded when the ledger tells of one, beside the champion that serves.

Of a rollout under way, or because a person has put a version in shadow.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from perennial.errors import BadFeatures, PerennialError, ServiceUnavailable
from perennial.feature_store import repository
from perennial.registry import ledger, rollouts
from perennial.registry.rollouts import RolloutState
from perennial.serving import canary_split, loaded_version
from perennial.serving.loaded_version import LoadedVersion
from perennial.use_case import UseCase

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Trial:
    """A challenger that is tried.

    Attributes:
        state: The rollout's.
        version: The challenger; None: it cannot be loaded.
        problem: Why it cannot.
        entity: The fields of a request whose values decide who answers.
        shadow_share: The share of requests that are predicted in shadow.
    """

    state: RolloutState
    version: LoadedVersion | None
    problem: PerennialError | None
    entity: tuple[str, ...]
    shadow_share: float

    @property
    def is_over(self) -> bool:
        """Whether it has ended by the clock alone, as what a person put in shadow does."""
        return self.state.is_by_hand and datetime.now(UTC) >= self.state.stage_ends

    def is_canary(self, example: Mapping[str, Any]) -> bool:
        """Whether the challenger answers an example.

        Args:
            example: As a request's check returned it.
        """
        share = self.state.stage.share
        if not share or self.version is None:
            return False
        entity = [example.get(name) for name in self.entity]
        return canary_split.is_canary(self.version.use_case.name, self.state.version, entity, share)


@dataclass
class Challengers:
    """The trials of some use cases. One thread calls `refresh`; any thread reads."""

    _trials: dict[str, Trial] = field(default_factory=dict)

    def of(self, name: str) -> Trial | None:
        """The trial of a use case; None: no challenger is tried."""
        trial = self._trials.get(name)
        return trial if trial is not None and not trial.is_over else None

    def over(self) -> set[str]:
        """The use cases whose trial has ended by the clock alone, and is still held."""
        return {name for name, trial in self._trials.items() if trial.is_over}

    def problems(self) -> dict[str, PerennialError]:
        """Why challengers could not be loaded, by use case."""
        return {name: trial.problem for name, trial in self._trials.items() if trial.problem is not None}

    def loaded(self, name: str, number: int) -> LoadedVersion | None:
        """The challenger of a use case, if it is this version and can predict.

        Args:
            name: The use case.
            number: The version.
        """
        trial = self._trials.get(name)
        is_it = trial is not None and trial.version is not None and trial.version.number == number
        return trial.version if is_it and trial is not None else None

    def refresh(self, use_case: UseCase, champion: LoadedVersion | None, definitions: str | None) -> None:
        """Load the challenger that the ledger names, if it is another one, and note its stage; never fails.

        Args:
            use_case: Whose.
            champion: What serves; None: nothing does.
            definitions: The digest of the feature definitions.
        """
        name = use_case.name
        before = self._trials.get(name)
        try:
            state = rollouts.under_way(use_case, ledger.entries(use_case))
        except PerennialError as error:
            log.warning("%s: the ledger does not tell of a rollout: %s", name, error)
            return
        # What it is compared with has to serve here, too: else an answer would be of neither.
        if state is None or champion is None or champion.number != state.champion:
            if self._trials.pop(name, None) is not None:
                log.info("%s: v%d is no longer tried", name, before.state.version if before else 0)
            return
        version, problem = _load(use_case, state, before, definitions)
        policy = use_case.rollout
        entity = (policy and policy.entity) or tuple(repository.join_keys(use_case.feature_service))
        trial = Trial(state, version, problem, entity, policy.shadow_share if policy is not None else 1.0)
        if version is not None:
            known = {each.name for each in version.request.fields}
            if absent := [each for each in trial.entity if each not in known]:
                trial = replace(trial, version=None, problem=_unknown_fields(use_case, absent))
        if before is None or (before.state, before.problem) != (trial.state, trial.problem):
            stage = trial.problem or state.stage.name
            log.info("%s: v%d is tried beside v%d: %s", name, state.version, state.champion, stage)
        self._trials[name] = trial


def _load(
    use_case: UseCase, state: RolloutState, before: Trial | None, definitions: str | None
) -> tuple[LoadedVersion | None, PerennialError | None]:
    """The challenger, as it is loaded already, or loaded now; or why it cannot be."""
    old = before.version if before is not None else None
    if old is not None and (old.number, old.definitions) == (state.version, definitions):
        return old, None
    try:
        return loaded_version.load(use_case, state.entry, definitions), None
    except Exception as error:  # Whatever it is, the champion goes on serving.
        log.exception("%s: challenger v%d could not be loaded", use_case.name, state.version)
        return None, error if isinstance(error, PerennialError) else PerennialError(f"{type(error).__name__}: {error}")


def _unknown_fields(use_case: UseCase, absent: list[str]) -> PerennialError:
    return BadFeatures(
        f"Use case {use_case.name!r}: rollout.entity names {', '.join(absent)}, which no request has.",
        f"Name fields of a request in include/use_cases/{use_case.name}/use_case.py.",
    )


def is_lasting(problem: PerennialError) -> bool:
    """Whether a challenger cannot be loaded for a reason of its own, not because a service is away."""
    return not isinstance(problem, ServiceUnavailable)
