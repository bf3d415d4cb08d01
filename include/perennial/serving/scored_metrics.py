"""How many predictions of a partition were served and how many backfilled, for Prometheus."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Collection, Iterator

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from perennial import lake_cache
from perennial.errors import PerennialError
from perennial.use_case.table_names import TableNames

log = logging.getLogger(__name__)
_COLUMNS = ("partition", "evidence", "recorded_at")


class ScoredPredictions(Collector):
    """Of each use case's newest partition that was monitored, as `perennial status` shows it.

    Read from the verdicts in the lake, which are cached until there is a new one: a read asks the catalog only. While
    the lake does not answer there are no such numbers.

    Args:
        names: The use cases that are served, at any time.
    """

    def __init__(self, names: Callable[[], Collection[str]]) -> None:
        self._names = names

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The gauge, a partition of each use case that has one with predictions."""
        scored = GaugeMetricFamily(
            "perennial_serving_scored_predictions",
            "Predictions of the newest monitored partition: served before their outcome, or backfilled.",
            labels=["use_case", "partition", "served_as"],
        )
        tables = {name: TableNames(name).verdicts for name in self._names()}
        try:
            verdicts = lake_cache.records(list(tables.values()), dict.fromkeys(tables.values(), _COLUMNS))
        except PerennialError as error:
            log.warning("The predictions that were scored are not shown: %s", error.problem)
            verdicts = {}
        for name, table in tables.items():
            newest = max(verdicts.get(table, []), key=lambda row: (row["partition"], row["recorded_at"]), default=None)
            evidence = json.loads(newest["evidence"]) if newest else {}
            if newest and evidence.get("rows"):
                served = evidence.get("served", 0)
                scored.add_metric([name, newest["partition"], "served"], served)
                scored.add_metric([name, newest["partition"], "backfilled"], evidence["rows"] - served)
        yield scored
