"""Whether `perennial.lake_cache` still pays: reading the records of use cases through it and through pyiceberg.

    python benchmarks/lake_cache.py    # about five minutes on two cores; prints the table of docs/decisions/0024

The tables are those of the fleet's page (`reporting.overview.TABLES`), with three years of monthly partitions each, of
1, 10 and 50 use cases. "Cold" is a process of its own, imports included; "warm" the same reading once more in that
process. Only ratios within one run are compared.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pages_world
from measuring import BENCHMARKS, environment

SIZES = (1, 10, 50)
TIMES = 10


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        os.environ |= {"PERENNIAL_HOME": name, "OMP_WAIT_POLICY": "PASSIVE"}
        from perennial.embedded import postgres

        postgres.start()
        postgres.create_databases()
        try:
            pages_world.declare(Path(name) / "all", max(SIZES))
            print("three years of records ...", file=sys.stderr)
            pages_world.write_records()
            pages_world.copy_records(pages_world.names(max(SIZES))[1:])
            _report(Path(name))
        finally:
            postgres.stop()


def _report(home: Path) -> None:
    print("| use cases | start | lake_cache, s | pyiceberg, s | ratio |\n|---|---|---|---|---|")
    for size in SIZES:
        pyiceberg = _child("lake", size)
        (home / "lake_cache.db").unlink(missing_ok=True)
        empty, stored = _child("lake_cache", size), _child("lake_cache", size)
        for start, ours, theirs in (
            ("cold process, nothing on disk", empty["cold"], pyiceberg["cold"]),
            ("cold process", stored["cold"], pyiceberg["cold"]),
            ("warm process", stored["warm"], pyiceberg["warm"]),
        ):
            print(f"| {size} | {start} | {ours:.3f} | {theirs:.3f} | {ours / theirs:.3f} |")


def _child(reader: str, size: int) -> dict[str, float]:
    """Seconds that a process of its own needs."""
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / "lake_cache.py"), reader, str(size)],
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    whole = time.perf_counter() - began
    measured = json.loads(done.stdout.splitlines()[-1])
    return {"cold": whole - measured["repeated"], "warm": measured["warm"]}


def _measure(reader: str, size: int) -> dict[str, float]:
    from perennial.use_case.table_names import TableNames

    # Spelled out: importing them would import a reader.
    kinds = ["batches", "metrics", "verdicts", "requests", "ledger", "parity"]
    kinds += ["quarantine", "refused_batches", "quarantine_decisions"]
    tables = [TableNames(name)[kind] for name in pages_world.names(size) for kind in kinds]
    read = _by_lake_cache if reader == "lake_cache" else _by_lake
    read(tables)
    began = time.perf_counter()
    warm = statistics.median(_seconds(lambda: read(tables)) for _ in range(TIMES if reader == "lake_cache" else 1))
    return {"warm": warm, "repeated": time.perf_counter() - began}


def _by_lake_cache(tables: list[str]) -> None:
    from perennial import lake_cache

    lake_cache.records(tables)


def _by_lake(tables: list[str]) -> None:
    from concurrent.futures import ThreadPoolExecutor

    from perennial import lake

    lake.catalog()
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lake.records, tables))


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(_measure(sys.argv[1], int(sys.argv[2]))))
    else:
        main()
