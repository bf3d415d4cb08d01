"""How fast pages answer: 50 use cases with 36 monthly partitions each, through Airflow's own API server.

    python benchmarks/pages.py    # about five minutes on two cores; prints the tables of benchmarks/README.md

The records are real tables of a lake of its own (`pages_world.py`), on an embedded PostgreSQL that Airflow uses too.
Pages are asked for as a browser does: by HTTP's paths, with a token, through Airflow's middleware and its access
control, but without a socket in between. Each process is measured from its first request on; the limit is what the
database and DuckDB need for the same rows without any of ours.
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
from typing import Any

import pages_world
from measuring import BENCHMARKS, environment

USE_CASES = 50
TIMES = 30
#: Milliseconds that a warm page may take.
TARGET = 300


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        os.environ |= {"PERENNIAL_HOME": name, "OMP_WAIT_POLICY": "PASSIVE"}
        from perennial.embedded import postgres

        postgres.start()
        postgres.create_databases()
        try:
            folder = Path(name) / "few", Path(name) / "all"
            print("three years of records ...", file=sys.stderr)
            commits = _world(*folder)
            print(f"{commits} commits a use case; {_files(Path(name))} data files of {USE_CASES} use cases\n")
            _report(folder[0], folder[1], Path(name))
        finally:
            postgres.stop()


def _world(few: Path, everything: Path) -> int:
    pages_world.declare(few, 10)
    pages_world.declare(everything, USE_CASES)
    commits = pages_world.write_records()
    pages_world.copy_records(pages_world.names(USE_CASES)[1:])
    _child("runs", everything)
    return commits


def _files(home: Path) -> int:
    return sum(1 for _ in (home / "lake").rglob("*.parquet"))


def _report(few: Path, everything: Path, home: Path) -> None:
    rows = []
    for folder, count in ((few, 10), (everything, USE_CASES)):
        (home / "lake_cache.db").unlink(missing_ok=True)
        for start in ("nothing cached", "cached on disk"):
            rows.append((count, start, _child("pages", folder)))
    print(
        "| use cases | start | first fleet page, s | fleet, ms | 95%, ms | CPU, ms | use case, ms | CPU, ms |"
        " metrics, ms | CPU, ms |"
        " after a commit, ms | peak, MB | target |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|---|---|")
    for count, start, times in rows:
        met = "met" if max(times["fleet"], times["use_case"], times["metrics"]) < TARGET else "missed"
        print(
            f"| {count} | {start} | {times['first']:.2f} | {times['fleet']:.0f} | {times['fleet_95']:.0f} |"
            f" {times['fleet_cpu']:.0f} | {times['use_case']:.0f} | {times['use_case_cpu']:.0f} |"
            f" {times['metrics']:.0f} | {times['metrics_cpu']:.0f} |"
            f" {times['commit']:.0f} | {times['megabytes']:.0f} | under {TARGET} ms: {met} |"
        )
    bare = _child("bare", everything)
    print("\n| what | ours, ms | bare, ms | ratio |\n|---|---|---|---|")
    for label, ours, limit in (
        ("records of the fleet, warm", bare["warm"], bare["select"]),
        ("records of the fleet, cached on disk", bare["disk"], bare["json"]),
        ("records of the fleet, nothing cached", bare["cold"], bare["duckdb"]),
    ):
        print(f"| {label} | {ours:.0f} | {limit:.0f} | {ours / limit:.2f} |")


def _child(command: str, folder: Path) -> dict[str, Any]:
    """What a process of its own finds, whose use cases are those in `folder`."""
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / "pages.py"), command],
        env=environment() | {"PYTHONPATH": str(folder)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def _runs() -> dict[str, Any]:
    """Airflow's database with the DAGs and runs of all use cases."""
    _airflow()
    from airflow.utils.db import initdb

    initdb()
    return {"runs": pages_world.write_runs(pages_world.names(USE_CASES))}


def _airflow() -> None:
    """This process's Airflow is the embedded one, with a password that is known."""
    from perennial.embedded.environment import environment as of_airflow

    os.environ |= of_airflow()
    passwords = Path(os.environ["PERENNIAL_HOME"]) / "passwords.json"
    passwords.write_text('{"ada": "lovelace"}')
    os.environ |= {
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "ada:admin",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR",
    }


def _pages() -> dict[str, Any]:
    """Milliseconds of each page; the first one in seconds, with all imports of the pages."""
    import psutil

    _airflow()
    from airflow.api_fastapi.app import create_app
    from fastapi.testclient import TestClient

    http = TestClient(create_app(apps="core"), base_url="http://127.0.0.1")
    token = http.post("/auth/token", json={"username": "ada", "password": "lovelace"}).json()["access_token"]

    def ask(path: str) -> None:
        response = http.get(f"/perennial/{path}", headers={"Authorization": f"Bearer {token}"})
        assert response.status_code == 200, response.text[:2000]

    first = _seconds(lambda: ask(""))
    begun = time.process_time()
    fleet = [_seconds(lambda: ask("")) * 1e3 for _ in range(TIMES)]
    fleet_cpu = (time.process_time() - begun) / TIMES * 1e3
    use_case = f"use_cases/{pages_world.FIRST}"
    ask(use_case)
    begun = time.process_time()
    one = [_seconds(lambda: ask(use_case)) * 1e3 for _ in range(TIMES)]
    one_cpu = (time.process_time() - begun) / TIMES * 1e3
    metrics, metrics_cpu = _metrics(http)
    pages_world.commit_once()
    after = _seconds(lambda: ask("")) * 1e3
    memory = psutil.Process().memory_info()
    return {
        "first": first,
        "fleet": statistics.median(fleet),
        "fleet_95": sorted(fleet)[int(0.95 * TIMES)],
        "fleet_cpu": fleet_cpu,
        "use_case": statistics.median(one),
        "use_case_cpu": one_cpu,
        "metrics": metrics,
        "metrics_cpu": metrics_cpu,
        "commit": after,
        "megabytes": getattr(memory, "peak_wset", 0) / 1e6 or _peak_megabytes(),
    }


def _metrics(http: Any) -> tuple[float, float]:
    """Milliseconds of a warm scrape of all use cases, and of its CPU."""
    from perennial.serving import tokens

    secret, _ = tokens.create(f"scrape-{time.time_ns()}", only_metrics=True)

    def scrape() -> None:
        response = http.get("/perennial/metrics", headers={"Authorization": f"Bearer {secret}"})
        assert response.status_code == 200, response.text[:2000]

    scrape()
    begun = time.process_time()
    took = [_seconds(scrape) * 1e3 for _ in range(TIMES)]
    return statistics.median(took), (time.process_time() - begun) / TIMES * 1e3


def _peak_megabytes() -> float:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


def _bare() -> dict[str, Any]:
    """Milliseconds of reading what the fleet's page needs, by us and without us."""
    import sqlite3

    import duckdb

    from perennial import discovery, lake_cache
    from perennial.lake_cache import catalog, iceberg, memory
    from perennial.reporting import overview
    from perennial.use_case.table_names import TableNames

    names = [name for name in discovery.names() if name.startswith("fleet")]
    tables = [TableNames(name)[table] for name in names for table in overview.TABLES]
    home = Path(os.environ["PERENNIAL_HOME"])

    def select() -> None:
        with catalog._connect() as connection, connection.cursor() as cursor:
            cursor.execute("SELECT table_namespace, table_name, metadata_location FROM iceberg_tables")
            cursor.fetchall()

    def parse() -> None:
        with sqlite3.connect(home / "lake_cache.db") as connection:
            for (content,) in connection.execute("SELECT content FROM tables"):
                json.loads(content)

    def read(files: dict[str, list[str]]) -> None:
        with duckdb.connect() as engine:
            for some in files.values():
                engine.read_parquet(some, union_by_name=True, hive_partitioning=False).fetchall()

    (home / "lake_cache.db").unlink(missing_ok=True)
    cold = _seconds(lambda: lake_cache.records(tables))
    warm = statistics.median(_seconds(lambda: lake_cache.records(tables)) for _ in range(TIMES))
    memory.clear()
    disk = _seconds(lambda: lake_cache.records(tables))
    files: dict[str, list[str]] = {}
    for name, location in catalog.locations(tables).items():
        files.setdefault(name.split(".")[1], []).extend(iceberg.contents(location, {}).files)
    return {
        "cold": cold * 1e3,
        "warm": warm * 1e3,
        "disk": disk * 1e3,
        "duckdb": _seconds(lambda: read(files)) * 1e3,
        "json": _seconds(parse) * 1e3,
        "select": statistics.median(_seconds(select) for _ in range(TIMES)) * 1e3,
    }


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


if __name__ == "__main__":
    measurements: dict[str, Callable[[], dict[str, Any]]] = {"runs": _runs, "pages": _pages, "bare": _bare}
    if len(sys.argv) > 1:
        print(json.dumps(measurements[sys.argv[1]]()))
    else:
        main()
