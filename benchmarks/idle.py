"""What the embedded servers cost while there is nothing to do: of each the CPU, in percent of a core, and the memory.

    .venv/bin/python benchmarks/idle.py        # six minutes: after half a minute, and once the workers have ended

Memory is the proportional set size: what processes share counts once.
"""

from __future__ import annotations

import sys
import time
from collections import Counter

import psutil
from measuring import embedded_home

#: Seconds to wait after the start, and until the workers have ended.
SETTLING, UNTIL_WORKERS_END = 30.0, 120.0
#: Seconds over which CPU is counted.
SPAN = 60.0


def main() -> None:
    with embedded_home():
        time.sleep(SETTLING)
        table("after half a minute")
        time.sleep(UNTIL_WORKERS_END)
        table("once the workers have ended")


def table(when: str) -> None:
    """Measure, and print a row for each server."""
    family = {process: server for server, processes in families().items() for process in processes}
    before = {process: seconds(process) for process in family}
    time.sleep(SPAN)
    cpu, memory = Counter[str](), Counter[str]()
    for process, server in family.items():
        if (after := seconds(process)) is not None:
            cpu[server] += 100 * (after - (before[process] or 0.0)) / SPAN
            memory[server] += process.memory_full_info().pss / 1e6
    print(f"\n| {when} | CPU, % of a core | memory, MB |\n|---|---|---|")
    for server in memory:
        print(f"| {server} | {cpu[server]:.1f} | {memory[server]:.0f} |")
    print(f"| all | {cpu.total():.1f} | {memory.total():.0f} |", flush=True)


def families() -> dict[str, list[psutil.Process]]:
    """Each server with the processes that it has started."""
    from perennial.embedded import processes
    from perennial.settings import settings

    found = {}
    for file in sorted((settings().home / "run").glob("*.json")):
        record = processes.Record.read(file.stem)
        process = record.process() if record is not None else None
        if process is not None:
            found[file.stem] = [process, *process.children(recursive=True)]
    pid = next((settings().home / "postgres").rglob("postmaster.pid")).read_text().split()[0]
    found["postgresql"] = [psutil.Process(int(pid)), *psutil.Process(int(pid)).children(recursive=True)]
    return found


def seconds(process: psutil.Process) -> float | None:
    """CPU seconds so far; None: it has ended."""
    try:
        return sum(process.cpu_times()[:2])
    except psutil.NoSuchProcess:
        return None


if __name__ == "__main__":
    sys.exit(main())
