"""The pipelines of a use case by name, and what can be asked of those that are started by hand. Light to import."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import BaseModel

    from perennial.use_case import UseCase

#: The loop, in the order in which a partition goes through it.
LOOP = ("features", "scoring", "monitoring", "training")
#: Those that need no partition.
BY_HAND = ("training", "champion")
ALL = tuple(dict.fromkeys((*LOOP, *BY_HAND)))


def form(use_case: UseCase, pipeline: str) -> type[BaseModel] | None:
    """The parameters that a run of `pipeline` takes; None: it takes none."""
    if pipeline == "training":
        return use_case.params
    if pipeline == "features":
        from perennial.runs.params import FeaturesParams

        return FeaturesParams
    if pipeline == "champion":
        from perennial.gate.rollback_plan import RollbackRequest

        return RollbackRequest
    return None
