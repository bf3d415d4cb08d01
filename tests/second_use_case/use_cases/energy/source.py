"""Meters that follow the hour of the day, each with a level of its own; from 2024-01-06 on the world has moved."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa

from perennial import Partition

MOVED = datetime(2024, 1, 6, tzinfo=UTC)


def readings(partition: Partition) -> pa.Table:
    random = np.random.default_rng(partition.start.toordinal())
    hours = [partition.start + timedelta(hours=hour) for hour in range(24)]
    meters = [(f"site-{number % 3}", f"meter-{number}") for number in range(12)]
    rows = [
        {"site": site, "meter": meter, "read_at": at, "kwh": float(consumption(number, at) + random.normal(0, 0.1))}
        for number, (site, meter) in enumerate(meters)
        for at in hours
    ]
    return pa.Table.from_pylist(rows)


def consumption(meter: int, at: datetime) -> float:
    swing = 3.0 if at >= MOVED else 1.0
    return meter + swing * np.sin(2 * np.pi * at.hour / 24) + (5.0 if at >= MOVED else 0.0)
