"""The partitions of a use case: a table that is read from the newest down, and a chart of the same, oldest first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from perennial.pages.layout import version_colour
from perennial.registry.ledger import DEPLOYING, PROMOTED, ROLLED_BACK, Entry
from perennial.reporting.partition_status import PartitionStatus, label_coverage
from perennial.use_case import UseCase

#: So many partitions are shown at once: of a use case with hourly ones a week.
SHOWN = 168


@dataclass(frozen=True)
class TimelineRow:
    """One partition.

    Attributes:
        coverage: Share of its predictions that have a label, 0 to 1.
        explanation: Its verdict in a sentence.
        expected: What its verdict expected of the gate's metric, of the version that scored it.
    """

    status: PartitionStatus
    coverage: float | None
    explanation: str
    expected: float | None

    @property
    def key(self) -> str:
        """The partition's name."""
        return self.status.partition


@dataclass(frozen=True)
class Window:
    """Some consecutive partitions of all there are.

    Attributes:
        lines: Oldest first.
        total: How many partitions there are.
        earlier, later: The last partition of the window before, and of the one after; None: there is none.
    """

    lines: tuple[TimelineRow, ...]
    total: int
    earlier: str | None
    later: str | None


def lines(
    statuses: Iterable[PartitionStatus], verdicts: Iterable[Mapping[str, Any]], expected: Mapping[str, float]
) -> list[TimelineRow]:
    """The partitions with what their newest verdicts add.

    Args:
        statuses: What is recorded of each partition, oldest first.
        verdicts: Rows of that table, oldest first.
        expected: The expected metric of each partition.
    """
    last = {row["partition"]: row for row in verdicts}
    return [
        TimelineRow(
            status,
            label_coverage(last.get(status.partition, {})),
            last.get(status.partition, {}).get("explanation") or "",
            expected.get(status.partition),
        )
        for status in statuses
    ]


def window(every: Sequence[TimelineRow], until: str | None = None) -> Window:
    """The newest partitions, or the newest up to and including `until`; names of partitions sort as their times do.

    Args:
        every: All partitions, oldest first.
        until: The last one to show; None: the newest.
    """
    reached = sum(line.key <= until for line in every) if until else len(every)
    first = max(reached - SHOWN, 0)
    return Window(
        lines=tuple(every[first:reached]),
        total=len(every),
        earlier=every[first - 1].key if first else None,
        later=every[min(reached + SHOWN, len(every)) - 1].key if reached < len(every) else None,
    )


def chart(use_case: UseCase, shown: Sequence[TimelineRow], entries: Sequence[Entry], partitions: str) -> dict[str, Any]:
    """What `static/charts.js` draws: the champion's metric against the first model's, on the version that scored.

    Args:
        use_case: Whose partitions.
        shown: Those in the chart, oldest first.
        entries: The ledger, oldest first.
        partitions: What the addresses of the partitions' pages begin with.
    """
    deployed = list(_deployments(shown))
    estimated = [line.status.estimate.value if line.status.estimate else None for line in shown]
    made = {"label": f"{use_case.gate.metric} as estimated without labels", "colour": "--so-so", "dashed": True}
    return {
        "x": [line.key for line in shown],
        "series": [
            {"label": f"first model's {use_case.gate.metric}", "colour": "--soft", "dashed": True}
            | {"values": [line.status.first_model_metric for line in shown]},
            {"label": f"champion's {use_case.gate.metric}", "colour": "--text"}
            | {"values": [line.status.metric for line in shown]},
            *([made | {"values": estimated}] if any(each is not None for each in estimated) else []),
        ],
        "bands": [
            {"from": first, "to": last, "colour": colour(version), "label": f"v{version}"}
            for version, first, last in deployed
        ],
        "from": [
            {"from": first, "to": last, "value": shown[first].expected, "colour": colour(version)}
            for version, first, last in _deployments(shown, by_expected=True)
            if shown[first].expected is not None
        ],
        "marks": list(_marks(shown, entries)),
        "links": [f"{partitions}/{line.key}" for line in shown],
    }


def colour(version: int) -> str:
    """The colour of a version in a chart: a variable of perennial.css."""
    return f"--{version_colour(version)}"


def _deployments(shown: Sequence[TimelineRow], *, by_expected: bool = False) -> Iterator[tuple[int, int, int]]:
    """(version, first place, last place) of neighbouring partitions that one version scored, or also expected alike."""

    def alike(item: tuple[int, TimelineRow]) -> tuple[int | None, float | None]:
        return item[1].status.champion, item[1].expected if by_expected else None

    for (version, _), group in groupby(enumerate(shown), key=alike):
        places = [place for place, _ in group]
        if version is not None:
            yield version, places[0], places[-1]


#: How a decision, or an alarm, is marked in the chart.
MARKS = {
    "alarm": ("▲", "--bad"),
    "closed alarm": ("△", "--so-so"),
    PROMOTED: ("★", "--good"),
    ROLLED_BACK: ("↩", "--so-so"),
}


def _marks(shown: Sequence[TimelineRow], entries: Sequence[Entry]) -> Iterator[dict[str, Any]]:
    """Alarms, and where the ledger says that another version came: below the partition after which it did."""
    for place, line in enumerate(shown):
        decisions = [e.action for e in entries if e.partition == line.key and e.action in DEPLOYING]
        for kind in [*_alarm_of(line.status), *decisions]:
            sign, shade = MARKS[kind]
            yield {"at": place, "sign": sign, "colour": shade}


def _alarm_of(status: PartitionStatus) -> list[str]:
    """How the alarm on a partition is marked, if its verdict is one."""
    if status.verdict != "alarm":
        return []
    return ["closed alarm" if status.alarm is not None and not status.alarm.is_open else "alarm"]
