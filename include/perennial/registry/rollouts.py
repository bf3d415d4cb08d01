"""Which challenger is tried on live requests, in which stage, and since when: read from the ledger.

A rollout begins with its first entry and is over when the ledger has a decision on the version, or when another version
was deployed since: then there is nothing left that the challenger was compared with.

A person may also put a version in shadow to look at it. That is under way until a person ends it, another version is
deployed, a rollout of the gate begins, or its time is over; nothing is decided by it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from perennial.registry import ledger
from perennial.registry.ledger import Entry

if TYPE_CHECKING:
    from perennial.use_case import Rollout, UseCase

#: How long a version is in shadow at a person's request, where the use case declares no `rollout`.
LONGEST = timedelta(days=28)
#: Keys of the evidence of a rollout's entry: the gate's decision, the stage that begins, and what ended the one before.
DECISION, STAGE, ENDED = "decision", "stage", "ended"
#: Key of the evidence: the DAG run that made the entry; None: training did.
MADE_BY = "made_by"


@dataclass(frozen=True)
class Stage:
    """A stage of a rollout.

    Attributes:
        share: Of the entities whose requests the challenger answers; 0: it only predicts in shadow.
        period: How long the stage lasts at least, processing time.
    """

    share: float
    period: timedelta

    @property
    def name(self) -> str:
        """`shadow`, or `canary 5%`."""
        return f"canary {100 * self.share:.4g}%" if self.share else "shadow"

    def as_json(self) -> dict[str, float]:
        """As the ledger keeps it."""
        return {"share": self.share, "seconds": self.period.total_seconds()}

    @classmethod
    def of(cls, kept: Mapping[str, Any]) -> Stage:
        """The stage that `as_json` gave."""
        return cls(float(kept["share"]), timedelta(seconds=kept["seconds"]))


@dataclass(frozen=True)
class RolloutState:
    """A rollout that is not decided yet.

    Attributes:
        version: The challenger.
        champion: The version that it is compared with.
        began: When it began, processing time.
        number: How many stages came before this one.
        stage: The stage under way.
        since: When that stage began, processing time.
        entry: The ledger's entry by which it did.
        superseded_by: The entry by which another version was deployed since; None: none was.
        is_by_hand: A person put it in shadow: it ends with its stage at the latest, and is never promoted by it.
    """

    version: int
    champion: int
    began: datetime
    number: int
    stage: Stage
    since: datetime
    entry: Entry
    superseded_by: Entry | None = None
    is_by_hand: bool = False

    @property
    def stage_ends(self) -> datetime:
        """When the stage may end at the earliest, processing time; of one by hand, when it ends by itself."""
        return self.since + self.stage.period

    @property
    def decision(self) -> dict[str, Any]:
        """The gate's decision that the rollout began with."""
        return dict(self.entry.evidence[DECISION])


def undecided(entries: Iterable[Entry]) -> RolloutState | None:
    """The newest rollout, if its version is not decided on; also one that another deployment has superseded.

    Args:
        entries: Of the use case's ledger.
    """
    ordered = sorted(entries, key=lambda entry: entry.recorded_at)
    newest = next((entry for entry in reversed(ordered) if entry.action == ledger.ROLLOUT), None)
    if newest is None or ledger.decision_on(ordered, newest.model_version) is not None:
        return None
    stages = of_version(ordered, newest.model_version)
    since = (entry for entry in ordered if entry.recorded_at > stages[0].recorded_at)
    deployed = [entry for entry in since if entry.action in ledger.DEPLOYING]
    return RolloutState(
        version=newest.model_version,
        champion=newest.previous_version or 0,
        began=stages[0].recorded_at,
        number=len(stages) - 1,
        stage=Stage.of(newest.evidence[STAGE]),
        since=newest.recorded_at,
        entry=newest,
        superseded_by=deployed[-1] if deployed else None,
    )


def under_way(use_case: UseCase, entries: Iterable[Entry]) -> RolloutState | None:
    """The rollout under way, or the version that a person has put in shadow; None: neither.

    A rollout is not under way where the use case no longer declares any.

    Args:
        use_case: Whose ledger.
        entries: The ledger's.
    """
    ordered = list(entries)
    state = undecided(ordered) if use_case.rollout is not None else None
    if state is not None and state.superseded_by is None:
        return state
    return by_hand(ordered, datetime.now(UTC))


def by_hand(entries: Iterable[Entry], now: datetime) -> RolloutState | None:
    """The version that a person has put in shadow; None: none is, or it is over.

    Args:
        entries: Of the use case's ledger.
        now: Processing time.
    """
    ending = (ledger.SHADOW, ledger.SHADOW_ENDED, ledger.ROLLOUT, *ledger.DEPLOYING)
    about = [entry for entry in entries if entry.action in ending]
    newest = max(about, key=lambda entry: entry.recorded_at, default=None)
    if newest is None or newest.action != ledger.SHADOW:
        return None
    state = RolloutState(
        version=newest.model_version,
        champion=newest.previous_version or 0,
        began=newest.recorded_at,
        number=0,
        stage=Stage.of(newest.evidence[STAGE]),
        since=newest.recorded_at,
        entry=newest,
        is_by_hand=True,
    )
    return state if now < state.stage_ends else None


def of_version(entries: Iterable[Entry], version: int) -> list[Entry]:
    """The entries by which the stages of a version's rollout began, in the ledger's order.

    Args:
        entries: The ledger's.
        version: The version.
    """
    return [entry for entry in entries if entry.action == ledger.ROLLOUT and entry.model_version == version]


def stages(policy: Rollout) -> Iterator[Stage]:
    """The stages that a use case declares, in order."""
    if policy.shadow is not None:
        yield Stage(0.0, policy.shadow)
    for canary in policy.canary:
        yield Stage(canary.share, canary.period)


def following(policy: Rollout, share: float) -> Stage | None:
    """The stage after the one with this share, as the use case declares them now; None: that was the last.

    Args:
        policy: The use case's.
        share: Of the stage that ends.
    """
    return next((stage for stage in stages(policy) if stage.share > share), None)
