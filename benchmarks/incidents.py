"""What a look for incidents costs with 50 use cases of three years, when nothing has changed, in a process of its own.

    .venv/bin/python benchmarks/incidents.py

The records are those of `benchmarks/pages.py`. No Airflow and no prediction server answers, which costs their patience
in time, not in CPU; it is left out.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pages_world
from measuring import environment

USE_CASES, TIMES = 50, 5


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        os.environ |= {"PERENNIAL_HOME": name, "OMP_WAIT_POLICY": "PASSIVE", "PERENNIAL_SERVING_URI": "none"}
        from perennial.embedded import postgres

        postgres.start()
        postgres.create_databases()
        try:
            folder = Path(name) / "all"
            pages_world.declare(folder, USE_CASES)
            pages_world.write_records()
            pages_world.copy_records(pages_world.names(USE_CASES)[1:])
            print("| look | events | s of CPU | of it imports | s |\n|---|---|---|---|---|")
            for number in range(1, TIMES + 1):
                row = _child(folder)
                print(f"| {number} | {row['events']} | {row['cpu']:.2f} | {row['imports']:.2f} | {row['wall']:.2f} |")
        finally:
            postgres.stop()


def _child(folder: Path) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, __file__, "look"],
        env=environment() | {"PYTHONPATH": str(folder)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def look() -> None:
    started = time.perf_counter()
    from perennial.alerts import airflow_findings, detection

    imported, airflow_findings.PATIENCE = time.process_time(), 0.1
    found = detection.update()
    print(
        json.dumps(
            {
                "events": len(found.events),
                "cpu": time.process_time(),
                "imports": imported,
                "wall": time.perf_counter() - started,
            }
        )
    )


if __name__ == "__main__":
    look() if sys.argv[1:] == ["look"] else main()
