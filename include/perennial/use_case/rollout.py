"""How a challenger is tried on live requests before it replaces the champion: first in shadow, then as a canary."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise
from typing import Literal, Self

from pydantic import Field, model_validator

from perennial.use_case.declarations import Declaration

#: Whether the gate's holdout decides before a rollout, or leaves the superiority of a challenger to its end, with the
#: holdout's evidence or without.
After = Literal["holdout", "with-holdout", "instead-of-holdout"]


class CanaryStage(Declaration):
    """A share of entities whose requests the challenger answers, for a time."""

    share: float = Field(gt=0, le=1, description="The share of entities, by hash.")
    period: timedelta = Field(gt=timedelta(0), description="How long the stage lasts at least.")


class Rollout(Declaration):
    """The stages in which a challenger is tried on live requests, and by what it is judged.

    In every stage champion and challenger predict the same requests; who answers is all that differs. The gate's own
    rules compare them, on the requests whose label has become known.
    """

    shadow: timedelta | None = Field(
        default=None,
        gt=timedelta(0),
        description="How long the challenger only predicts in shadow; its predictions are recorded, never returned."
        " None: there is no such stage.",
    )
    canary: tuple[CanaryStage, ...] = Field(
        default=(),
        description="The stages in which it answers for a share of entities; each larger than the one before.",
    )
    entity: tuple[str, ...] | None = Field(
        default=None,
        min_length=1,
        description="Fields of a request whose values decide who answers. None: the join keys of the feature service.",
    )
    shadow_share: float = Field(
        default=1.0, gt=0, le=1, description="The share of requests that the other of the two predicts in shadow."
    )
    after: After = Field(
        default="holdout",
        description="Who begins a rollout: what the gate would promote (holdout), or also what its holdout neither"
        " promotes nor rejects, if nothing else speaks against it; it then has to be better by `gate.margin`, on"
        " holdout and live requests together (with-holdout) or on live requests alone (instead-of-holdout).",
    )
    longest: timedelta = Field(
        default=timedelta(days=28),
        gt=timedelta(0),
        description="A rollout that is undecided after this time ends, and the challenger is not promoted.",
    )
    min_requests: int = Field(
        default=100, ge=1, description="With fewer predictions of the challenger a stage does not end well."
    )
    max_errors: float = Field(
        default=0.01, ge=0, lt=1, description="Largest share of the challenger's predictions that may fail."
    )
    check: str = Field(
        default="*/10 * * * *", description="When a rollout under way is looked at: a cron expression, UTC."
    )

    @model_validator(mode="after")
    def _can_end(self) -> Self:
        if self.shadow is None and not self.canary:
            raise ValueError("a rollout needs `shadow`, `canary`, or both")
        shares = [stage.share for stage in self.canary]
        if any(later <= earlier for earlier, later in pairwise(shares)):
            raise ValueError(f"canary: the shares {shares} have to grow")
        total = sum((stage.period for stage in self.canary), self.shadow or timedelta(0))
        if self.longest < total:
            raise ValueError(f"longest {self.longest} is shorter than the stages, which take {total}")
        return self
