"""Finds partitions that must be computed or published again, and how long they took last time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from statistics import mean
from typing import TYPE_CHECKING

from perennial.dag_names import FEATURES, dag_id
from perennial.errors import PerennialError
from perennial.feature_store import computations, fingerprints

if TYPE_CHECKING:
    from perennial.feature_changes.definitions import Definitions, View
    from perennial.partitions import Partition
    from perennial.services.airflow_api import AirflowClient
    from perennial.use_case import UseCase

#: Of a view, what has changed makes its rows be brought online again.
_ONLINE_AGAIN = ("source", "timestamp field", "created timestamp column", "entities", "kind", "online")


@dataclass(frozen=True)
class Recomputation:
    """What of a use case is to be computed again.

    Attributes:
        why: Partition -> reasons, oldest first.
        in_lake: How many partitions of it the lake holds.
        unrecorded: Partitions that were computed before computations were recorded: by which transforms nobody knows.
        seconds: How long the same partitions took last time; None: not known.
        measured: Where that is from, or why it is not known.
    """

    use_case: str
    why: Mapping[str, tuple[str, ...]]
    in_lake: int
    unrecorded: tuple[str, ...] = ()
    seconds: float | None = None
    measured: str = ""

    @property
    def partitions(self) -> tuple[str, ...]:
        """Keys of the partitions, oldest first."""
        return tuple(self.why)

    @property
    def reasons(self) -> dict[str, int]:
        """Reason -> of how many partitions."""
        counts: dict[str, int] = {}
        for reasons in self.why.values():
            for reason in reasons:
                counts[reason] = counts.get(reason, 0) + 1
        return counts


@dataclass(frozen=True)
class RecomputationCauses:
    """Why every partition of a use case must be computed again, whatever it was computed by.

    Attributes:
        widened: Feature tables whose transform returns columns that their lake table does not have yet.
        views_to_materialize: Views whose rows must be brought online again in every partition -> why.
    """

    widened: frozenset[str] = frozenset()
    views_to_materialize: Mapping[str, str] = field(default_factory=dict)


def find_recomputation(
    use_case: UseCase, views: Mapping[str, View], causes: RecomputationCauses, everything: bool = False
) -> Recomputation:
    """The partitions that were computed by other transforms than the files hold now, or are not online.

    Args:
        use_case: The use case.
        views: Its views as declared, with the intervals of the registered ones of the same names.
        causes: What makes every partition be computed again.
        everything: Compute all partitions in the lake again.
    """
    from perennial import lake

    recorded = computations.recorded_transforms(use_case)
    now = fingerprints.of_transforms(use_case)
    stored = {table: set(lake.partitions(use_case.tables[table])) for table in now}
    in_lake = sorted({*recorded, *stored[fingerprints.EXAMPLES]})
    ours = {name: view for name, view in views.items() if view.source in {use_case.tables[table] for table in now}}
    why: dict[str, tuple[str, ...]] = {}
    for key in in_lake:
        partition = use_case.cadence.partition(key)
        reasons = [
            reason
            for table, current in now.items()
            if (reason := _table(table, current, recorded.get(key), stored, causes))
        ]
        reasons += [
            reason
            for name, view in ours.items()
            if key in stored[view.source.partition(".")[2]] and (reason := _view(name, view, partition, causes))
        ]
        if everything:
            reasons = reasons or ["asked for"]
        if reasons:
            why[key] = tuple(reasons)
    unrecorded = tuple(key for key in in_lake if key not in recorded)
    return Recomputation(use_case.name, why, len(in_lake), unrecorded)


def _table(
    table: str,
    current: str,
    recorded: Mapping[str, str] | None,
    stored: Mapping[str, set[str]],
    causes: RecomputationCauses,
) -> str:
    """Why a table of a partition is to be computed again; empty: it is as it should be."""
    if recorded is None:
        if not stored[table]:
            return f"{table} is new"
        return f"{table} gets new columns" if table in causes.widened else ""
    if table not in recorded:
        return f"{table} is new"
    return "" if recorded[table] == current else f"the transform of {table} has changed"


def _view(name: str, view: View, partition: Partition, causes: RecomputationCauses) -> str:
    """Why a view's rows of a partition are to be brought online again."""
    if not view.online:
        return ""
    if name in causes.views_to_materialize:
        return f"view {name} {causes.views_to_materialize[name]}"
    return "" if _covers(view.intervals, partition) else f"view {name} is not online there"


def _covers(intervals: Sequence[tuple[datetime, datetime]], partition: Partition) -> bool:
    return any(start <= partition.start and partition.end <= end for start, end in intervals)


def views_to_materialize(before: Definitions, after: Definitions) -> dict[str, str]:
    """The views whose rows must be brought online again in every partition, and why.

    Args:
        before: The registered definitions.
        after: Those in `feature_repo/`.
    """
    from perennial.feature_changes.differences import FIELD_MAPPING, compare

    reasons: dict[str, str] = {}
    for change in compare(before, after):
        if change.kind != "view":
            continue
        if change.action == "added" and not change.field:
            reasons[change.name] = "is new"
        elif change.field in _ONLINE_AGAIN or (change.field == FIELD_MAPPING and change.destroys):
            reasons.setdefault(change.name, f"has another {change.field}")
        elif change.field.startswith("column ") and change.action != "removed":
            reasons.setdefault(
                change.name, "has a new column" if change.action == "added" else "has a column of another type"
            )
    return reasons


def last_duration(client: AirflowClient, use_case: UseCase, partitions: Sequence[str]) -> tuple[float | None, str]:
    """How long the partitions' last successful runs of `features` took together, in seconds, and how that is known.

    A partition without one counts as the mean of the others.

    Args:
        client: Asks Airflow.
        use_case: The use case.
        partitions: Keys of the partitions.
    """
    dag = dag_id(use_case.name, FEATURES)
    try:
        runs = client.runs_of_dag(dag, state="success")
    except PerennialError as error:
        return None, f"not known: {error.problem.splitlines()[0]}"
    took = {
        run.partition: (run.ended - run.started).total_seconds()
        for run in reversed(runs)  # newest first: the newest of each partition stays
        if run.partition and run.ended and run.started
    }
    measured = [took[key] for key in partitions if key in took]
    if not took:
        return None, f"not known: Airflow has no successful run of {dag}"
    typical = mean(measured or took.values())
    seconds = sum(took.get(key, typical) for key in partitions)
    return seconds, f"{len(measured) or len(took)} runs of {dag} in Airflow"
