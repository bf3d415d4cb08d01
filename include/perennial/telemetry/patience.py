"""How long something may take in a use case before a person is told, and the alerting rules that follow from it."""

from __future__ import annotations

from dataclasses import dataclass

from perennial.partitions import Cadence
from perennial.telemetry import catalogue as known
from perennial.telemetry.catalogue import Metric
from perennial.telemetry.rule import Rule, highest, owned
from perennial.telemetry.scraping import PIPELINES
from perennial.use_case import UseCase


@dataclass(frozen=True)
class Patience:
    """How long something may take before a person is told, as Prometheus writes it.

    Attributes:
        late: From the end of a partition until it is loaded, and from there until it is monitored.
        stuck: A run, queueing included.
        retraining: From the request for retraining until a training runs.
    """

    late: str
    stuck: str
    retraining: str


_PATIENCE = {
    Cadence.HOURLY: Patience("30m", "3h", "3h"),
    Cadence.DAILY: Patience("3h", "12h", "12h"),
    Cadence.WEEKLY: Patience("6h", "1d", "1d"),
    Cadence.MONTHLY: Patience("1d", "1d", "1d"),
}


def of_use_case(use_case: UseCase) -> list[Rule]:
    """The rules that depend on how long the use case's partitions are.

    Args:
        use_case: Which.
    """
    name, patience = use_case.name, _PATIENCE[use_case.cadence]

    def value(metric: Metric, *labels: str) -> str:
        return highest(metric, *labels, only=f'use_case="{name}"')

    active = value(known.OLDEST_ACTIVE, "pipeline")
    approving = f'label_replace({value(known.PENDING_APPROVALS)} > 0, "pipeline", "training", "", "")'
    training = f'use_case="{name}", pipeline="training"'
    idle = f"{highest(known.ACTIVE_RUNS, only=training)} == 0"
    return [
        Rule(
            "PerennialOverdue",
            owned(f"{value(known.OVERDUE)} > 0"),
            patience.late,
            "critical",
            "{{ $labels.use_case }}: {{ $value }} partitions have ended and are not loaded",
            "See why features did not run: it is paused, it failed, or the source is late.",
            name,
        ),
        Rule(
            "PerennialNotMonitored",
            owned(f"{value(known.LOADED_UNTIL)} - {value(known.MONITORED_UNTIL)} > 0"),
            patience.late,
            "warning",
            "{{ $labels.use_case }}: the newest partition that is loaded was not monitored",
            "See whether scoring and monitoring are paused, or failed.",
            name,
        ),
        Rule(
            "PerennialRunStuck",
            # A training that waits for a person is not stuck.
            owned(f"time() - ({active} unless on (use_case, pipeline) {approving}) > {_seconds(patience.stuck)}"),
            "0m",
            "warning",
            "{{ $labels.use_case }}: a run of {{ $labels.pipeline }} is under way for {{ $value | humanizeDuration }}",
            "See whether a scheduler and a worker are there, and the log of its task.",
            name,
        ),
        Rule(
            "PerennialRetrainingWaits",
            owned(f"{value(known.OPEN_REQUESTS)} > 0 and on (use_case) ({idle})"),
            patience.retraining,
            "warning",
            "{{ $labels.use_case }}: {{ $value }} requests for retraining are open, and no training runs",
            "See why the last training failed or was skipped, and start one.",
            name,
        ),
        Rule(
            "PerennialUseCaseGone",
            f'absent({known.PROBLEM.name}{{use_case="{name}"}}) and on () max(up{{job="{PIPELINES}"}}) == 1',
            "15m",
            "critical",
            "{{ $labels.use_case }}: the use case has no metrics any more",
            "If it was retired or deleted, write the rules again: `perennial telemetry export`.",
            name,
        ),
    ]


def _seconds(length: str) -> int:
    return int(length[:-1]) * {"m": 60, "h": 3600, "d": 86400}[length[-1]]
