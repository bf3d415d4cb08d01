"""What orchestration costs: the real loop beside a bare script that does the same computing, in the same run.

    make bench        # about fifteen minutes on two cores; prints the table of benchmarks/README.md

Each row is a ratio or a difference between two things measured minutes apart on one machine: seconds alone say more
about the machine. Peak memory is the resident memory of all processes of the embedded servers and their workers, and of
the bare script's process.
"""

from __future__ import annotations

import compileall
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from measuring import (
    BENCHMARKS,
    Measured,
    bare_script,
    embedded_home,
    environment,
    finished,
    peak_memory,
    seconds,
    servers,
)

NINTH_MONTH = "2013-09"


def main() -> None:
    print("bare script ...", file=sys.stderr)
    bare = {script: bare_script(script) for script in ("month", "retraining", "promotion", "replay")}
    with embedded_home():
        print("the real loop ...", file=sys.stderr)
        real, outcome = real_loop()
    rows = [
        ("features of a month", real["month"], bare["month"], "at most 25 s more"),
        (f"retraining on nine months, {outcome}", real["retraining"], bare[outcome], "at most 1.6 times"),
        ("replay of the year", real["replay"], bare["replay"], "-"),
    ]
    print("| what | Perennial, s | bare, s | ratio | more, s | Perennial, MB | bare, MB | target |")
    print("|---|---|---|---|---|---|---|---|")
    for label, ours, limit, target in rows:
        print(
            f"| {label} | {ours.seconds:.1f} | {limit.seconds:.1f} | {ours.seconds / limit.seconds:.2f} |"
            f" {ours.seconds - limit.seconds:.1f} | {ours.megabytes:.0f} | {limit.megabytes:.0f} | {target} |"
        )
    print(f"\nParsing all DAG files with 50 use cases: {parsing(50):.2f} s (target: under 1 s)")


def real_loop() -> tuple[dict[str, Measured], str]:
    """The year by Airflow's REST API, then one more retraining on nine months.

    Returns:
        What was measured, and which bare script that retraining is to be compared with: a model that passes is fitted
        twice.
    """
    from perennial import discovery
    from perennial.registry import ledger
    from perennial.runs import replay
    from perennial.services.airflow_api import AirflowClient

    use_case = discovery.load("flights")
    year = replay.partitions_between(use_case, "2013-01", "2013-12")
    with AirflowClient() as client:
        began = time.monotonic()
        with peak_memory(servers) as replayed:
            for step in replay.replay(client, use_case, year):
                if step.state == "done":
                    print(f"  {step.partition} {step.pipeline}: {step.seconds:.1f} s", file=sys.stderr)
        replayed.seconds = time.monotonic() - began
        (features,) = [
            run for run in client.runs_of_partition(NINTH_MONTH, prefix="flights.features") if run.state == "success"
        ]
        with peak_memory(servers) as retrained:
            conf = {"window_end": NINTH_MONTH, "force": True}
            run = finished(client, client.trigger("flights.training", "bench", conf=conf))
        retrained.seconds = seconds(run)
        passed = ledger.entries(use_case)[-1].action == ledger.PROMOTED
    measured = {
        "month": Measured(seconds(features), replayed.megabytes),
        "retraining": retrained,
        "replay": replayed,
    }
    return measured, "promotion" if passed else "retraining"


def parsing(use_cases: int) -> float:
    """Seconds that all DAG files take to parse with so many use cases, once Airflow itself is imported."""
    with tempfile.TemporaryDirectory(prefix="parsing-") as name:
        original = BENCHMARKS.parent / "include/use_cases/flights/use_case.py"
        for number in range(use_cases - 1):
            folder = Path(name) / "use_cases" / f"copy{number}"
            folder.mkdir(parents=True)
            text = original.read_text().replace('name="flights",\n    title', f'name="copy{number}",\n    title')
            (folder / "use_case.py").write_text(text)
        # As they are from the second parse on.
        compileall.compile_dir(name, quiet=2)
        code = (
            "import time, airflow.sdk, airflow.providers.standard.operators.hitl\n"
            "from airflow.dag_processing.dagbag import DagBag\n"
            "began = time.perf_counter()\n"
            f"bag = DagBag({str(BENCHMARKS.parent / 'dags')!r})\n"
            "print(time.perf_counter() - began, len(bag.dags), len(bag.import_errors))\n"
        )
        home = {"PYTHONPATH": name, "AIRFLOW_HOME": f"{name}/airflow", "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment() | home, check=True, capture_output=True, text=True
        )
    seconds, dags, errors = done.stdout.split()[-3:]
    # Each use case has at least these: features, scoring, monitoring, training, champion.
    if int(dags) < 5 * use_cases or int(errors):
        raise SystemExit(f"{dags} DAGs and {errors} import errors instead of at least {5 * use_cases} and none")
    print(f"  {dags} DAGs", file=sys.stderr)
    return float(seconds)


if __name__ == "__main__":
    main()
