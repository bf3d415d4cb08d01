"""What four times the columns cost `perennial new`: the time to profile and design, by CPU, for 1,500 rows.

    .venv/bin/python benchmarks/wide.py     # prints the table of benchmarks/README.md

A ratio of about 4 is linear. CPU time is measured, so that other processes matter less.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from perennial.scaffold import deciding, profiling
from perennial.scaffold.asking import nobody
from perennial.scaffold.options import Options

ROWS, COLUMNS = 1_500, (75, 300, 1_200)


def main() -> None:
    print("| columns | profile, s | design, s | ratio |")
    print("|---|---|---|---|")
    before = None
    for columns in COLUMNS:
        profile, design = measured(columns)
        ratio = f"{(profile + design) / before:.1f}" if before else ""
        print(f"| {columns:,} | {profile:.1f} | {design:.1f} | {ratio} |")
        before = profile + design


def measured(columns: int) -> tuple[float, float]:
    """Seconds of CPU to profile so many columns, and to decide on a use case of them."""
    random = np.random.default_rng(0)
    frame = pd.DataFrame(random.normal(size=(ROWS, columns)), columns=[f"f{number}" for number in range(columns)])
    frame.insert(0, "at", pd.date_range("2024-01-01", periods=ROWS, freq="3h"))
    frame["y"] = frame["f0"] + random.normal(size=ROWS)
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data.csv"
        frame.to_csv(data, index=False)
        begin = time.process_time()
        with profiling.at(str(data), {}) as look:
            profiled = time.process_time()
            deciding.decide(look, Options(name="wide", data=str(data), label="y", no_key=True, owner="nobody"), nobody)
            return profiled - begin, time.process_time() - profiled


if __name__ == "__main__":
    main()
