"""When a pipeline runs: at the end of a partition, on a cron schedule or interval, or on another one's asset event."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import (
    Asset,
    CronPartitionTimetable,
    CronTriggerTimetable,
    DeltaTriggerTimetable,
    PartitionedAssetTimetable,
)

from perennial.use_case import UseCase


def on_partition_end(use_case: UseCase) -> CronPartitionTimetable:
    """A run for each partition, when it has ended."""
    cadence = use_case.cadence
    return CronPartitionTimetable(cadence.cron, timezone="UTC", run_offset=-1, key_format=cadence.key_format)


def on_cron(expression: str) -> CronTriggerTimetable:
    """A run, of no partition, at each time (UTC) that the cron expression matches."""
    return CronTriggerTimetable(expression, timezone="UTC")


def on_interval(interval: timedelta) -> DeltaTriggerTimetable:
    """A run, of no partition, each time that an interval has passed."""
    return DeltaTriggerTimetable(interval)


def on_asset(asset: Asset) -> PartitionedAssetTimetable:
    """A run for each partition that an event of the asset names."""
    return PartitionedAssetTimetable(assets=asset)
