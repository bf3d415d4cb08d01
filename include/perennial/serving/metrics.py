"""What a prediction server counts and measures, for Prometheus."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from perennial.served_predictions import carrying
from perennial.serving.answers import PredictionResponse
from perennial.serving.scored_metrics import ScoredPredictions

if TYPE_CHECKING:
    from perennial.serving.champions import Champions
    from perennial.serving.trials import Fate, Trials

#: Upper bounds of the histogram of durations, in seconds.
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_NAME = "perennial_serving"


@dataclass
class Counts:
    """What was counted: plain numbers, which may be added up over processes.

    The counters of Prometheus' client are not used: Feast makes them write to files that all of a process share.

    Attributes:
        requests: By use case and HTTP status.
        predictions: By use case.
        missing: Features that were null, by use case and reason.
        durations: Answered requests, by use case and the number of the first bound of `_SECONDS` that is not exceeded.
        seconds: Their durations added up, by use case.
        challengers: Predictions of challengers that are tried, by use case and what became of them.
    """

    requests: Counter[tuple[str, str]] = field(default_factory=Counter)
    predictions: Counter[str] = field(default_factory=Counter)
    missing: Counter[tuple[str, str]] = field(default_factory=Counter)
    durations: Counter[tuple[str, int]] = field(default_factory=Counter)
    seconds: dict[str, float] = field(default_factory=dict)
    challengers: Counter[tuple[str, Fate]] = field(default_factory=Counter)


class Metrics:
    """The counters of one server. Only the event loop's thread counts.

    Args:
        champions: Whose versions are shown.
        log: The folder of the log of predictions; None: there is none.
        workers: The folder in which the workers of one server share their numbers; None: there is one process.
        trials: The challengers that are tried, by this process; None: none ever is.
    """

    def __init__(
        self,
        champions: Champions,
        log: Path | None = None,
        workers: Path | None = None,
        trials: Trials | None = None,
    ) -> None:
        self._counts = Counts() if trials is None else Counts(challengers=trials.counts)
        self._collectors = CollectorRegistry()
        if workers is None:
            self._collectors.register(_Counted(lambda: self._counts))
        else:
            from perennial.serving.shared_counts import SharedCounts

            shared = SharedCounts(workers, self._counts)
            shared.start()
            self._collectors.register(_Counted(shared.total))
        self._collectors.register(_Versions(champions))
        self._collectors.register(ScoredPredictions(lambda: champions.names))
        if log is not None:
            self._collectors.register(_Waiting(log))

    def refused(self, use_case: str, status: int) -> None:
        """Count a request that was not answered.

        Args:
            use_case: A use case that is served.
            status: Of HTTP.
        """
        self._counts.requests[use_case, str(status)] += 1

    def answered(self, response: PredictionResponse, seconds: float) -> None:
        """Count a request that was answered.

        Args:
            response: The answer.
            seconds: How long it took.
        """
        counts, use_case = self._counts, response.use_case
        counts.requests[use_case, "200"] += 1
        counts.durations[use_case, bisect_left(_SECONDS, seconds)] += 1
        counts.seconds[use_case] = counts.seconds.get(use_case, 0.0) + seconds
        counts.predictions[use_case] += len(response.predictions)
        for prediction in response.predictions:
            for reason in prediction.missing.values():
                counts.missing[use_case, reason] += 1

    def exposition(self) -> bytes:
        """All of it in Prometheus' text format."""
        return generate_latest(self._collectors)


class _Counted(Collector):
    """What was counted, as Prometheus knows it."""

    def __init__(self, counts: Callable[[], Counts]) -> None:
        self._counts = counts

    def collect(self) -> Iterator[CounterMetricFamily | HistogramMetricFamily]:
        # Copies: another thread collects than the one that counts.
        counts = self._counts()
        requests = CounterMetricFamily(f"{_NAME}_requests", "Requests, by status.", labels=["use_case", "status"])
        for labels, number in dict(counts.requests).items():
            requests.add_metric(labels, number)
        predictions = CounterMetricFamily(f"{_NAME}_predictions", "Predictions.", labels=["use_case"])
        for use_case, number in dict(counts.predictions).items():
            predictions.add_metric([use_case], number)
        missing = CounterMetricFamily(
            f"{_NAME}_missing_features", "Features that were null, by reason.", labels=["use_case", "reason"]
        )
        for labels, number in dict(counts.missing).items():
            missing.add_metric(labels, number)
        durations = HistogramMetricFamily(f"{_NAME}_seconds", "Duration of answered requests.", labels=["use_case"])
        for use_case, seconds in dict(counts.seconds).items():
            durations.add_metric([use_case], _buckets(counts, use_case), seconds)
        challengers = CounterMetricFamily(
            f"{_NAME}_challenger_predictions",
            "Predictions of challengers: answered (canary), in shadow, failed, or dropped because others waited.",
            labels=["use_case", "fate"],
        )
        for labels, number in dict(counts.challengers).items():
            challengers.add_metric(labels, number)
        yield from (requests, predictions, missing, durations, challengers)


def _buckets(counts: Counts, use_case: str) -> list[tuple[str, float]]:
    """Each bound, and how many requests took no longer."""
    buckets: list[tuple[str, float]] = []
    total = 0
    for number, bound in enumerate([*map(str, _SECONDS), "+Inf"]):
        total += counts.durations[use_case, number]
        buckets.append((bound, total))
    return buckets


class _Versions(Collector):
    """Which version serves, and whether it is the ledger's."""

    def __init__(self, champions: Champions) -> None:
        self._champions = champions

    def collect(self) -> Iterator[GaugeMetricFamily]:
        serving = GaugeMetricFamily(f"{_NAME}_model_version", "The version that serves; 0: none.", labels=["use_case"])
        failing = GaugeMetricFamily(
            f"{_NAME}_problem", "1 if the ledger's version could not be loaded or read.", labels=["use_case"]
        )
        for name, state in self._champions.state().items():
            serving.add_metric([name], float(state.model_version or 0))
            failing.add_metric([name], float(state.problem is not None))
        yield serving
        yield failing


class _Waiting(Collector):
    """What waits in the log of predictions, of all servers that share it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def collect(self) -> Iterator[GaugeMetricFamily]:
        backlog = carrying.backlog(self._folder)
        age = (datetime.now(UTC) - backlog.oldest).total_seconds() if backlog.oldest is not None else 0.0
        name = "perennial_serving_log"
        yield GaugeMetricFamily(
            f"{name}_waiting_records", "Served predictions that are not in the lake yet.", value=backlog.records
        )
        yield GaugeMetricFamily(f"{name}_oldest_seconds", "Age of the oldest of them; 0: none.", value=max(age, 0.0))
        yield GaugeMetricFamily(
            f"{name}_set_aside", "Files of the log that were set aside as damaged.", value=backlog.set_aside
        )
