"""What a refresh of the partition under way costs, early and late in a month, of the flights once and ten times over.

    .venv/bin/python benchmarks/refresh.py     # about ten minutes; prints the table of benchmarks/README.md

February is refreshed at six each morning, and by the hour on the days that are measured. CPU time of this process is
measured, so that others matter less. Fetching stands apart: the flights are one CSV file,
of which every reading reads all.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from statistics import median

from growth import flights
from measuring import environment

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
START = datetime(2013, 2, 1, tzinfo=UTC)
EARLY, LATE = 3, 26


def main() -> None:
    print("| flights | overlap | day | fetch, s | the rest, s | feature rows computed | new | online |")
    print("|---|---|---|---|---|---|---|---|")
    for times in (1, 10):
        for overlap in ("2 days", "none"):
            child = [sys.executable, __file__, str(times), overlap]
            done = subprocess.run(child, env=environment(), stdout=subprocess.PIPE, text=True, check=True)
            for day, each in json.loads(done.stdout.splitlines()[-1]).items():
                rows = " | ".join(f"{each[name]:,.0f}" for name in ("computed", "new", "online"))
                print(
                    f"| {times}x | {overlap} | {day} | {each['fetch']:.2f} | {each['rest']:.2f} | {rows} |", flush=True
                )


def case(times: int, overlap: str) -> None:
    """Refresh a month, and print what a refresh cost on the measured days."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name, flights(times):
        os.environ |= {"PERENNIAL_HOME": name, "OMP_WAIT_POLICY": "PASSIVE"}
        from perennial import Refresh, discovery
        from perennial.embedded import postgres
        from perennial.ingestion import compute, ingest, publish
        from perennial.lake import expiry

        # As by the hour: a snapshot is old when the next refresh comes.
        expiry.KEPT = timedelta(0)
        postgres.start()
        postgres.create_databases()
        try:
            policy = Refresh(every=HOUR, overlap=None if overlap == "none" else 2 * DAY)
            use_case = discovery.load("flights").model_copy(update={"refresh": policy})
            for step in (ingest.ingest_partition, compute.compute_features, publish.publish_features):
                step(use_case, use_case.first)
            measured = {}
            for day in range(1, LATE + 1):
                moment = START + (day - 1) * DAY + 6 * HOUR
                refreshed(use_case, moment)
                if day in (EARLY, LATE):
                    measured[day] = typical([refreshed(use_case, moment + hour * HOUR) for hour in range(1, 6)])
            print(json.dumps(measured))
        finally:
            postgres.stop()


def refreshed(use_case, until: datetime) -> dict[str, float]:
    """Seconds of CPU of one refresh, and its rows."""
    from perennial import lake
    from perennial.ingestion import refresh

    spent = {"fetch": 0.0}
    with timed(refresh, "fetch", spent):
        begin = time.process_time()
        done = refresh.refresh_features(use_case, until)
        total = time.process_time() - begin
    assert done is not None
    raw = {table.name for table in use_case.raw}
    records = [row for row in lake.records(use_case.tables.refreshes) if row["table"] not in raw]
    return {
        "fetch": spent["fetch"],
        "rest": total - spent["fetch"],
        "computed": sum(row["rows"] for row in records),
        "new": sum(row["new"] for row in records),
        "online": sum(done["online"].values()),
    }


@contextmanager
def timed(module, name: str, spent: dict[str, float]):
    """Add the CPU that a function of a module takes."""
    function = getattr(module, name)

    def measured(*arguments):
        begin = time.process_time()
        try:
            return function(*arguments)
        finally:
            spent["fetch"] += time.process_time() - begin

    setattr(module, name, measured)
    try:
        yield
    finally:
        setattr(module, name, function)


def typical(measured: list[dict[str, float]]) -> dict[str, float]:
    return {name: median(each[name] for each in measured) for name in measured[0]}


if __name__ == "__main__":
    if len(sys.argv) > 1:
        case(int(sys.argv[1]), sys.argv[2])
    else:
        main()
