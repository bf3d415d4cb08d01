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

    action: Literal["check", "advance", "abort"] = Field(
        default="check",
        description="check: what the rules say, as the clock does. advance: the next stage begins now, after the last"
        " one the challenger is promoted. abort: the challenger is rejected.",
    )
    reason: str = Field(default="", description="Why, for the ledger; needed to advance or abort.")

    @model_validator(mode="after")
    def _has_a_reason(self) -> Self:
        if self.action != "check" and not self.reason.strip():
            raise ValueError(f"{self.action} needs a reason")
        return self


def parse(use_case: str, conf: Mapping[str, Any]) -> RolloutRequest:
    """What a run, or the command line, requests.

    Args:
        use_case: Its name, for messages.
        conf: The parameters as they were entered.

    Raises:
        InvalidParams: an unknown key or action, or no reason to advance or abort.
    """
    try:
        return RolloutRequest(**conf)
    except ValidationError as error:
        raise InvalidParams(
            f"Parameters of {dag_id(use_case, ROLLOUT)}: {problems(error)}.",
            "action is check, advance or abort; the latter two need a reason.",
        ) from error
