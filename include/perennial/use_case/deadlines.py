"""By when a partition must be in the lake, and its predictions made and monitored."""

from __future__ import annotations

from datetime import timedelta
from typing import Self

from pydantic import Field, model_validator

from perennial.use_case.declarations import Declaration


class Deadlines(Declaration):
    """By when a partition must be done, processing time; what is later is an incident, and nothing else changes."""

    loaded: timedelta | None = Field(
        default=None,
        ge=timedelta(0),
        description="How long after its end a partition must be in the lake. None: an hour, or its own length if that"
        " is shorter.",
    )
    scored: timedelta | None = Field(
        default=None,
        ge=timedelta(0),
        description="How long after its end its predictions must be made and monitored, also where there is no champion"
        " yet. None: at any time.",
    )

    @model_validator(mode="after")
    def _is_in_order(self) -> Self:
        if self.loaded is not None and self.scored is not None and self.scored < self.loaded:
            raise ValueError(f"scored {self.scored} is before loaded {self.loaded}: what is not loaded is not scored")
        return self
