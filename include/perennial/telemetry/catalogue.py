"""Every metric of the pipelines: its name, its labels and what it says. Names and labels are kept between releases.

All are gauges, read from records at each scrape. Times are seconds since 1970 (UTC): an age is `time() - ...`. What no
record tells has no sample, never a zero in its place.
"""

from __future__ import annotations

from dataclasses import dataclass

_PREFIX = "perennial_"


@dataclass(frozen=True)
class Metric:
    """One metric.

    Attributes:
        name: In full.
        about: What it says, in one sentence.
        labels: Those that each of its samples has.
    """

    name: str
    about: str
    labels: tuple[str, ...] = ("use_case",)


def _metric(name: str, about: str, *labels: str) -> Metric:
    return Metric(_PREFIX + name, about, ("use_case", *labels))


AIRFLOW_PROBLEM = Metric(
    f"{_PREFIX}airflow_problem", "1 if Airflow's database could not be read: there is nothing about runs then.", ()
)
INFO = _metric(
    "use_case_info",
    "Always 1; a retired use case has no other metric.",
    *("owner", "cadence", "metric", "retired"),
)
PROBLEM = _metric("use_case_problem", "1 if its declaration or its records cannot be read: other metrics are missing.")
INCIDENTS = _metric(
    "incidents_open",
    "Open incidents; none: there is none of this kind. An empty use case is the installation.",
    *("reason", "severity"),
)

# Runs of its pipelines.
PIPELINE_MISSING = _metric("pipeline_missing", "1 if Airflow does not know the DAG of this pipeline.", "pipeline")
PIPELINE_PAUSED = _metric("pipeline_paused", "1 if the DAG is paused: it starts no runs.", "pipeline")
ACTIVE_RUNS = _metric("active_runs", "Runs that are queued or running.", "pipeline")
OLDEST_ACTIVE = _metric(
    "oldest_active_run_timestamp_seconds", "When the oldest of them was queued; none: nothing runs.", "pipeline"
)
FAILED_RUNS = _metric("failed_runs", "Failed runs that no newer run has replaced.", "pipeline")
RUN_DURATION = _metric("run_duration_seconds", "Duration of the newest run that has ended.", "pipeline")
RUN_END = _metric("run_end_timestamp_seconds", "When that run ended.", "pipeline")
RUN_SUCCESS = _metric("run_success_timestamp_seconds", "When the newest successful run ended.", "pipeline")
PENDING_APPROVALS = _metric("pending_approvals", "Promotions that wait for a person's approval.")

# Data.
LOADED_UNTIL = _metric("loaded_until_timestamp_seconds", "Event time: the end of the newest partition in the lake.")
FRESHNESS_LAG = _metric(
    "freshness_lag_seconds", "How long ago that partition ended; none: the use case has no later partition."
)
OVERDUE = _metric("overdue_partitions", "Later partitions that have ended and are not in the lake, up to 99.")
LOADED_ROWS = _metric("loaded_rows", "Rows of all raw tables of that partition.")
QUARANTINED_ROWS = _metric("quarantined_rows", "Its rows that were quarantined.")
QUARANTINED_RATIO = _metric("quarantined_ratio", "Their share of all its rows, 0 to 1.")
PENDING_REVIEW = _metric("pending_review_items", "Quarantined rows and batches, of all partitions, pending review.")
ONLINE_LAG = _metric(
    "online_lag_seconds",
    "How far the newest value that is served lags behind what had been published, at the newest check.",
    "view",
)
ONLINE_STALE = _metric("online_stale", "1 if that is more than the freshness of the view allows.", "view")
ONLINE_DIFFERENCES = _metric("online_different_values", "Values online that differed from the lake's.", "view")

# Predictions and monitoring, of the newest partition that was monitored.
MONITORED_UNTIL = _metric("monitored_until_timestamp_seconds", "Event time: the end of the newest monitored partition.")
PREDICTIONS = _metric(
    "partition_predictions", "Its predictions, by how they were made: `on_request`, `ahead`, `backfilled`.", "served_as"
)
VERDICT = _metric("verdict", "1 for its verdict: `healthy`, `warning`, `alarm` or `no-champion`; else 0.", "verdict")
VERDICT_TIME = _metric("verdict_timestamp_seconds", "When that verdict was recorded.")
LABEL_COVERAGE = _metric("label_coverage_ratio", "Share of its predictions whose label is known, 0 to 1.")
DRIFT_SCORE = _metric("drift_score_ratio", "Summed feature importance of the columns that drifted, 0 to 1.")
DRIFTED_COLUMNS = _metric("drifted_columns", "How many columns drifted.")
OPEN_ALARMS = _metric("open_alarms", "Alarms, of all partitions, that an act would close.")
PRODUCTION = _metric("production_metric", "The gate's metric on the newest partition that has enough labels.", "metric")
EXPECTED = _metric("expected_metric", "What was expected of it.", "metric")
IMPROVEMENT = _metric(
    "improvement", "By how much it is better than expected, whichever way the metric goes; below 0: worse.", "metric"
)
ESTIMATED = _metric(
    "estimated_metric",
    "That metric of the newest monitored partition, as estimated without its labels.",
    "metric",
)

# The model.
CHAMPION = _metric("champion_version", "The version in production; 0: none.")
CHAMPION_SINCE = _metric("champion_since_timestamp_seconds", "When it became the champion.")
CHAMPION_TRAINED = _metric(
    "champion_trained_until_timestamp_seconds", "Event time: it and its gate have seen nothing later."
)
OPEN_REQUESTS = _metric("open_retraining_requests", "Requests for retraining that no decision has handled yet.")
PROMOTION_PAUSED = _metric("promotion_paused", "1 if automatic promotion is paused.")
ROLLOUT = _metric("rollout", "1 if a version is tried on live requests, or in shadow.")

#: All of them, in the order in which they are shown.
METRICS: tuple[Metric, ...] = tuple(value for value in dict(globals()).values() if isinstance(value, Metric))
