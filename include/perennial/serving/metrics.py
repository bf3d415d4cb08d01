"""What a prediction server counts and measures, for Prometheus."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from perennial.served_predictions import carrying
from perennial.serving.answers import PredictionResponse

if TYPE_CHECKING:
    from perennial.serving.champions import Champions

#: Upper bounds of the histogram of durations, in seconds.
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class Metrics:
    """The counters of one server.

    Args:
        champions: Whose versions are shown.
        log: The folder of the log of predictions; None: there is none.
    """

    def __init__(self, champions: Champions, log: Path | None = None) -> None:
        self._collectors = CollectorRegistry()
        labels = ["use_case", "status"]
        name = "perennial_serving"
        self._requests = Counter(f"{name}_requests", "Requests, by status.", labels, registry=self._collectors)
        self._seconds = Histogram(
            f"{name}_seconds",
            "Duration of answered requests.",
            ["use_case"],
            buckets=_SECONDS,
            registry=self._collectors,
        )
        self._predictions = Counter(f"{name}_predictions", "Predictions.", ["use_case"], registry=self._collectors)
        self._missing = Counter(
            f"{name}_missing_features",
            "Features that were null, by reason.",
            ["use_case", "reason"],
            registry=self._collectors,
        )
        self._collectors.register(_Versions(champions))
        if log is not None:
            self._collectors.register(_Waiting(log))

    def refused(self, use_case: str, status: int) -> None:
        """Count a request that was not answered.

        Args:
            use_case: A use case that is served.
            status: Of HTTP.
        """
        self._requests.labels(use_case, str(status)).inc()

    def answered(self, response: PredictionResponse, seconds: float) -> None:
        """Count a request that was answered.

        Args:
            response: The answer.
            seconds: How long it took.
        """
        self._requests.labels(response.use_case, "200").inc()
        self._seconds.labels(response.use_case).observe(seconds)
        self._predictions.labels(response.use_case).inc(len(response.predictions))
        for prediction in response.predictions:
            for reason in prediction.missing.values():
                self._missing.labels(response.use_case, reason).inc()

    def exposition(self) -> bytes:
        """All of it in Prometheus' text format."""
        return generate_latest(self._collectors)


class _Versions(Collector):
    """Which version serves, and whether it is the ledger's."""

    def __init__(self, champions: Champions) -> None:
        self._champions = champions

    def collect(self) -> Iterator[GaugeMetricFamily]:
        serving = GaugeMetricFamily(
            "perennial_serving_model_version", "The version that serves; 0: none.", labels=["use_case"]
        )
        failing = GaugeMetricFamily(
            "perennial_serving_problem", "1 if the ledger's version could not be loaded or read.", labels=["use_case"]
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
