"""What a person may request of `<use case>.champion`, and what would come of it; nothing is changed here.

Either an earlier version serves again, or automatic promotion resumes: `perennial.gate.rollback` does both. Light to
import: the DAG `champion` makes its trigger form of the request.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from pydantic import Field, ValidationError

from perennial.dag_names import CHAMPION, dag_id
from perennial.errors import InvalidParams
from perennial.registry import ledger
from perennial.registry.ledger import Entry, Pause
from perennial.use_case import UseCase
from perennial.use_case.declarations import Declaration, problems

_HOURS = {"h": 1, "d": 24, "w": 7 * 24}


class RollbackRequest(Declaration):
    """Parameters of a run of `<use case>.champion`."""

    action: Literal["rollback", "resume"] = Field(
        default="rollback",
        description="rollback: an earlier version serves again, and automatic promotion pauses. resume: it resumes.",
    )
    to: int | None = Field(
        default=None,
        ge=1,
        description="Version that is to serve again; it must have served before. Empty: the one before the current.",
    )
    reason: str = Field(min_length=1, pattern=r"\S", description="Why, for the ledger and for whoever reads it.")
    pause: str | None = Field(
        default=None,
        pattern=r"^\d{1,4}[hdw]$",
        description="How long promotion pauses: hours, days or weeks, like 12h, 7d, 2w. Empty: until somebody resumes.",
    )

    @property
    def pause_for(self) -> timedelta | None:
        """How long automatic promotion pauses; None: until a person resumes it."""
        return timedelta(hours=int(self.pause[:-1]) * _HOURS[self.pause[-1]]) if self.pause else None


def parse_request(use_case: str, conf: Mapping[str, Any]) -> RollbackRequest:
    """What a run, or the command line, requests.

    Args:
        use_case: Its name, for messages.
        conf: The parameters as they were entered.

    Raises:
        InvalidParams: an unknown key, no reason, a wrong type, or a value out of range.
    """
    try:
        return RollbackRequest(**conf)
    except ValidationError as error:
        raise InvalidParams(
            f"Parameters of {dag_id(use_case, CHAMPION)}: {problems(error)}.",
            "A reason is needed; to is a version such as 2; pause is a number of hours, days or weeks such as 7d.",
        ) from error


def active_pause(use_case: UseCase, entries: Iterable[Entry]) -> Pause:
    """The pause of automatic promotion that is active now.

    Args:
        use_case: Whose, for messages.
        entries: The ledger's.

    Raises:
        InvalidParams: there is none.
    """
    pause = ledger.pause_among(entries, datetime.now(UTC))
    if pause is None:
        raise InvalidParams(
            f"Use case {use_case.name!r}: automatic promotion is not paused, there is nothing to resume.",
            f"See `perennial status {use_case.name}` for its current state.",
        )
    return pause


@dataclass(frozen=True)
class RollbackPlan:
    """What a rollback would do.

    Attributes:
        version, model_run: The version that is to serve again, and its MLflow run.
        previous: The version that serves now.
        effective_from: Event time from which it is to predict: the first partition that is not scored yet.
    """

    version: int
    model_run: str
    previous: int
    effective_from: datetime


def plan(use_case: UseCase, to: int | None = None) -> RollbackPlan:
    """What a rollback would do now; nothing is changed.

    Args:
        use_case: Whose champion.
        to: The version that is to serve again; None: the one that served before the current one.

    Raises:
        InvalidParams: nothing serves yet, nothing served before, or `to` never served or serves already.
    """
    return plan_from_entries(use_case, ledger.entries(use_case), to)


def plan_from_entries(use_case: UseCase, entries: list[Entry], to: int | None = None) -> RollbackPlan:
    """What `plan` returns for a ledger with these entries.

    Args:
        use_case: Whose champion.
        entries: The whole ledger, oldest first.
        to: As for `plan`.

    Raises:
        InvalidParams: as for `plan`.
    """
    deployments = ledger.deployments(entries)
    if not deployments:
        raise InvalidParams(
            f"Use case {use_case.name!r} has no champion yet, there is nothing to roll back.",
            f"See `perennial status {use_case.name}`.",
        )
    start, serving = deployments[-1]
    runs = {deployment.entry.model_version: deployment.entry.model_run for deployment in deployments}
    served = ", ".join(f"v{version}" for version in sorted(runs))
    target = to if to is not None else served_before(entries)
    if target is None:
        raise InvalidParams(
            f"Use case {use_case.name!r}: no version served before v{serving.model_version}.",
            f"Name one with `--to` if you want a version that was rolled back before; have served: {served}.",
        )
    if target == serving.model_version:
        raise InvalidParams(
            f"Use case {use_case.name!r}: v{target} serves already.", f"Choose another; have served: {served}."
        )
    if target not in runs:
        raise InvalidParams(
            f"Use case {use_case.name!r}: v{target} has never served.",
            f"Choose one of those that have: {served}. To let a new version serve, train it: the gate decides.",
        )
    return RollbackPlan(target, runs[target], serving.model_version, max(start, ledger.unscored_from(use_case)))


def served_before(entries: Iterable[Entry]) -> int | None:
    """The version that served before the current one; None: none did.

    A version that was rolled back is no longer in line: rolling back twice does not return to it. One that is then
    requested by its number is at the end again.

    Args:
        entries: The whole ledger.
    """
    line: list[int] = []
    for _, entry in ledger.deployments(entries):
        if entry.model_version in line:
            del line[line.index(entry.model_version) :]
        line.append(entry.model_version)
    return line[-2] if len(line) > 1 else None
