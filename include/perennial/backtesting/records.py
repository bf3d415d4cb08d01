"""Appends to the lake what the reference policies of a backtest would have reached, for `regret` to read."""

from __future__ import annotations

from datetime import UTC, datetime

import pyarrow as pa

from perennial import lake
from perennial.backtesting import policies
from perennial.backtesting.report import BacktestReport
from perennial.lake.schemas import BACKTESTS
from perennial.use_case import UseCase

#: The policies that are recorded.
RECORDED = (policies.DECLARED, policies.NEVER, policies.ALWAYS, policies.BASELINE)


def append(use_case: UseCase, report: BacktestReport) -> int:
    """Append the references' metrics that differ from the newest ones; return how many rows that were.

    Args:
        use_case: Whose table.
        report: Of a backtest from its first partition on: others have seen less.
    """
    now = datetime.now(UTC)
    rows = [
        {
            "partition": key,
            "policy": each.name,
            "metric": report.metric,
            "value": value,
            "labelled": report.labelled[key],
            "recorded_at": now,
        }
        for each in report.policies
        if each.name in RECORDED
        for key, value in each.by_partition.items()
    ]
    records = pa.Table.from_pylist(rows, schema=BACKTESTS)
    return int(lake.append_changed(use_case.tables.backtests, records, per=("policy", "metric")).num_rows)
