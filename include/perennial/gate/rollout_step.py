"""What a run of `<use case>.rollout` did."""

from __future__ import annotations

from perennial.use_case.declarations import Declaration


class RolloutStep(Declaration):
    """What a run did with the rollout under way, or with the version that a person put in shadow.

    Attributes:
        model_version: The challenger; None: no rollout is under way.
        stage: The stage that is under way now; None: it is over.
        promoted: Whether the challenger is the champion now.
        changed: Whether the ledger has a new entry.
        reason: One sentence for people.
    """

    model_version: int | None = None
    stage: str | None = None
    promoted: bool = False
    changed: bool = False
    reason: str = "No rollout is under way."
