"""Records when features were really published, and compares that with what their sources declare."""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import TYPE_CHECKING, Any

from perennial import lake_cache
from perennial.feature_store.publication import Publication, in_words
from perennial.partitions import Cadence, Partition

if TYPE_CHECKING:
    from perennial.use_case import UseCase

log = logging.getLogger(__name__)

#: So many of the newest publications are looked at; one alone says nothing.
_LATEST, _FEWEST = 5, 2
#: What is published later than this after its end, or than a partition is long, is a replay or a backfill of the past.
_LIVE = timedelta(days=1)
_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True)
class LatePublication:
    """A view most of whose latest publications were later than its source declares.

    Attributes:
        declared: In words.
        allowed: Seconds that a row may wait by that, from when it became known.
        took: Seconds that the oldest row of a publication did wait; the median of those looked at.
        late: How many publications were late.
        of: Of how many.
    """

    view: str
    declared: str
    allowed: float
    took: float
    late: int
    of: int

    def __str__(self) -> str:
        took = in_words(timedelta(seconds=round(self.took)))
        return (
            f"view {self.view} is declared to be published {self.declared}; {self.late} of the last {self.of}"
            f" publications were later: what became known waited up to {took}"
        )


def record(use_case: UseCase, partition: Partition, until: datetime, views: Collection[str]) -> None:
    """Record that a partition's features are online now, up to a moment, and log a warning if views are late.

    A second time records nothing.

    Args:
        use_case: Whose features.
        partition: The partition.
        until: Event time, exclusive, UTC: the partition's end, or how far it has come.
        views: Those that were brought online.
    """
    import pyarrow as pa

    from perennial import lake
    from perennial.feature_store import repository
    from perennial.lake.schemas import PUBLICATIONS

    declared = {
        view: [each.every.total_seconds() if each.every else None, each.after.total_seconds()]
        for view, each in repository.publications(use_case.feature_service).items()
        if view in views
    }
    row = {
        lake.PARTITION: partition.key,
        "until": until,
        "declared": json.dumps(declared, sort_keys=True),
        lake.RECORDED_AT: datetime.now(UTC),
    }
    content = pa.Table.from_pylist([row], schema=PUBLICATIONS)
    lake.append_missing(use_case.tables.publications, content, key=("until",))
    for late in late_now(use_case):
        log.warning("%s: %s", use_case.name, late)


def late_now(use_case: UseCase) -> tuple[LatePublication, ...]:
    """`late_publications` of what a use case's table holds.

    Args:
        use_case: Whose features.

    Raises:
        ServiceUnavailable: the lake's catalog cannot be reached.
    """
    table = use_case.tables.publications
    return late_publications(use_case.cadence, lake_cache.records([table])[table])


def late_publications(cadence: Cadence, rows: Sequence[Mapping[str, Any]]) -> tuple[LatePublication, ...]:
    """The views that are mostly published later than they declare now.

    A publication is late if a row that became known right after the one before it, or at the partition's start, waited
    longer than cadence and lag together. Publications of a past that had long ended say nothing.

    Args:
        cadence: Of the partitions.
        rows: Of the table `publications`, in any order.
    """
    ordered = sorted(rows, key=lambda row: (row["until"], row["recorded_at"]))
    waits = []
    for before, row in zip([None, *ordered], ordered, strict=False):
        start = cadence.floor(row["until"] - _INSTANT)
        since = max(start, before["until"]) if before else start
        is_live = timedelta(0) <= row["recorded_at"] - row["until"] <= max(_LIVE, cadence.after(start) - start)
        if is_live:
            waits.append((row["recorded_at"] - since, json.loads(row["declared"])))
    declared = waits[-1][1] if waits else {}
    return tuple(late for view, each in declared.items() if (late := _late(view, each, waits)) is not None)


def _late(
    view: str, declared: Sequence[float | None], waits: Sequence[tuple[timedelta, Mapping[str, Any]]]
) -> LatePublication | None:
    """A view's latest publications, if most of them were late; what declares nothing keeps to that."""
    every, after = (None if each is None else timedelta(seconds=each) for each in declared)
    publication = Publication(every, after or timedelta(0))
    took = [waited.total_seconds() for waited, views in waits if view in views][-_LATEST:]
    allowed = ((every or timedelta(0)) + publication.after).total_seconds()
    late = sum(seconds > allowed for seconds in took)
    if publication.is_at_once or len(took) < _FEWEST or 2 * late <= len(took):
        return None
    return LatePublication(view, str(publication), allowed, median(took), late, len(took))
