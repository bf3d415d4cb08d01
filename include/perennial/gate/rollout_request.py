"""What a run of `<use case>.rollout` is to do: look after the rollout under way, or what a person wants done with it.

Light to import: the DAG `rollout` makes its trigger form of the request.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from perennial.dag_names import ROLLOUT, dag_id
from perennial.errors import InvalidParams
from perennial.use_case.declarations import Declaration, problems


class RolloutRequest(Declaration):
    """Parameters of a run of `<use case>.rollout`."""

    action: Literal["check", "begin", "advance", "abort"] = Field(
        default="check",
        description="check: what the rules say, as the clock does. begin: a version predicts in shadow, to be looked"
        " at; it is never promoted by that. advance: the next stage of a rollout begins now, after the last one the"
        " challenger is promoted. abort: the challenger is rejected; a version that a person put in shadow is there no"
        " longer.",
    )
    version: int | None = Field(
        default=None,
        ge=1,
        description="With begin: the version that is to predict in shadow. Empty: the one that served before the"
        " current one.",
    )
    reason: str = Field(default="", description="Why, for the ledger; needed for all but check.")

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.action != "check" and not self.reason.strip():
            raise ValueError(f"{self.action} needs a reason")
        if self.action != "begin" and self.version is not None:
            raise ValueError(f"{self.action} is about what is under way, and takes no version")
        return self


def parse(use_case: str, conf: Mapping[str, Any]) -> RolloutRequest:
    """What a run, or the command line, requests.

    Args:
        use_case: Its name, for messages.
        conf: The parameters as they were entered.

    Raises:
        InvalidParams: an unknown key or action, no reason where one is needed, or a version where none is taken.
    """
    try:
        return RolloutRequest(**conf)
    except ValidationError as error:
        raise InvalidParams(
            f"Parameters of {dag_id(use_case, ROLLOUT)}: {problems(error)}.",
            "action is check, begin, advance or abort; all but check need a reason, and only begin takes a version.",
        ) from error
