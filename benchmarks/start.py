"""What it takes to start: the command line as a user calls it, and the imports of a process that does not fork.

    .venv/bin/python benchmarks/start.py            # a few minutes; needs a home with `perennial up` running
    .venv/bin/python benchmarks/start.py status     # only what has this word in its name

Prints a markdown table: the median of several runs in seconds, by the clock and of CPU. While others use the machine
the clock tells about them, the CPU about us.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

PERENNIAL = str(Path(sys.executable).with_name("perennial"))
QUICKLY = "from perennial._common.heavy_imports import fast_imports\nwith fast_imports():\n    import {}"


@dataclass(frozen=True)
class Start:
    """A process to start, how often, and the seconds of the clock it may take (None: no target)."""

    label: str
    command: Sequence[str]
    runs: int
    target: float | None = None


def python(code: str, *options: str) -> list[str]:
    return [sys.executable, *options, "-W", "ignore", "-c", code]


STARTS = (
    Start("`perennial --help`", [PERENNIAL, "--help"], 7, 0.3),
    Start("`perennial status`", [PERENNIAL, "status"], 7, 1.5),
    Start("`perennial status flights`", [PERENNIAL, "status", "flights"], 7, 1.5),
    Start("`import feast`", python("import feast"), 3),
    Start("`import feast` under `python -O`", python("import feast", "-O"), 3),
    Start("`import feast`, quickly", python(QUICKLY.format("feast")), 3),
    Start("`import great_expectations`", python("import great_expectations.expectations"), 3),
    Start("`import great_expectations`, quickly", python(QUICKLY.format("great_expectations.expectations")), 3),
    Start("`import evidently`", python("import evidently.presets"), 3),
    Start("`import evidently`, quickly", python(QUICKLY.format("evidently.presets")), 3),
    Start("`import mlflow.sklearn`", python("import mlflow.sklearn"), 3),
    Start(
        "all that tasks use: `preload()`", python("from perennial._common.heavy_imports import preload; preload()"), 3
    ),
)


def main() -> None:
    from perennial.services import postgres_address

    postgres_address.address()  # Without a lake to read, `status` would be quicker than it is.
    filter_text = sys.argv[1] if len(sys.argv) > 1 else ""
    print("| start | clock, s | CPU, s | target |\n|---|---|---|---|")
    for start in (start for start in STARTS if filter_text in start.label):
        clock, cpu = measured(start)
        verdict = (
            "-" if start.target is None else f"under {start.target} s: {'met' if clock < start.target else 'missed'}"
        )
        print(f"| {start.label} | {clock:.2f} | {cpu:.2f} | {verdict} |", flush=True)
    print(f"\nLoad {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores.")


def measured(start: Start) -> tuple[float, float]:
    """The medians of clock and CPU, in seconds; a first run, which compiles and warms the disk's cache, is left out."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    taken = []
    for _ in range(start.runs + 1):
        began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(start.command, env=environment, check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        taken.append((time.perf_counter() - began, cpu))
    clocks, cpus = zip(*taken[1:], strict=True)
    return statistics.median(clocks), statistics.median(cpus)


if __name__ == "__main__":
    main()
