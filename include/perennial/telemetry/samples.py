"""Collects samples of the metrics, and writes them in Prometheus' text format."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from perennial.telemetry.catalogue import METRICS, Metric

#: The type of the answer, with the version of the format.
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Samples(Collector):
    """Samples of one scrape."""

    def __init__(self) -> None:
        self._samples: dict[Metric, list[tuple[list[str], float]]] = {}

    def add(self, metric: Metric, value: float | datetime | None, *labels: str) -> None:
        """Add a sample.

        Args:
            metric: Of which metric.
            value: Its value; a moment becomes seconds since 1970; None: there is no sample.
            labels: The values of the metric's labels, in order.
        """
        if value is None:
            return
        number = value.timestamp() if isinstance(value, datetime) else float(value)
        self._samples.setdefault(metric, []).append((list(labels), number))

    def extend(self, others: Samples) -> None:
        """Add all samples of another collection."""
        for metric, added in others._samples.items():
            self._samples.setdefault(metric, []).extend(added)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """A family for each metric that has samples, in the order of the catalogue."""
        for metric in METRICS:
            if metric in self._samples:
                family = GaugeMetricFamily(metric.name, metric.about, labels=metric.labels)
                for labels, value in self._samples[metric]:
                    family.add_metric(labels, value)
                yield family

    def exposition(self) -> bytes:
        """All of them in Prometheus' text format."""
        collectors = CollectorRegistry(auto_describe=False)
        collectors.register(self)
        return generate_latest(collectors)
