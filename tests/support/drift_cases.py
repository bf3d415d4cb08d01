"""A small world of three columns, profiles of it, and what drifts against them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from perennial import Cadence, DriftPolicy, drift

START = datetime(2024, 1, 1, tzinfo=UTC)
PARTITION = Cadence.DAILY.partition("2024-03-01")


def use_case(cadence: Cadence = Cadence.DAILY, **policy: Any) -> SimpleNamespace:
    return SimpleNamespace(
        name="case",
        drift=DriftPolicy(**policy),
        gate=SimpleNamespace(metric="rmse"),
        value=None,
        task="regression",
        cadence=cadence,
        retired_features=(),
    )


def sample(seed: int, count: int = 20_000, shift: float = 0, days: int = 20) -> pd.DataFrame:
    """A world that does not move, `count` rows over `days` days."""
    random = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "event_timestamp": [START + timedelta(days=days * i / count) for i in range(count)],
            "number": random.normal(shift, 1, count),
            "letter": random.choice(list("abc"), count, p=[0.6, 0.3, 0.1]),
            "whole": random.integers(0, 7, count),
        }
    )


def profile(frame: pd.DataFrame, case: SimpleNamespace | None = None, **importance: float) -> drift.Profile:
    counted = drift.Profile.of(case or use_case(), pa.Table.from_pandas(frame, preserve_index=False))
    return drift.Profile(counted.columns, counted.blocks, importance)


def compare(
    reference: drift.Profile, current: pd.DataFrame, case: SimpleNamespace | None = None, partition=PARTITION
) -> dict[str, drift.ColumnDrift]:
    table = pa.Table.from_pandas(current, preserve_index=False)
    counted = drift.ColumnCounts.of(reference, table.to_batches(max_chunksize=777))
    return {c.column: c for c in drift.compare(case or use_case(), reference, partition, counted)}


def drifted(columns: dict[str, drift.ColumnDrift]) -> set[str]:
    return {name for name, column in columns.items() if column.drifted}
