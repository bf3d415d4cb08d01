"""Starting and stopping the machine room."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import cache, partial

import httpx
import psutil

from perennial.embedded import postgres, processes
from perennial.embedded.environment import environment, mlflow_environment, write_airflow_login
from perennial.embedded.parts import AIRFLOW, embeds_airflow, embeds_mlflow, is_running
from perennial.errors import PerennialError, ServiceUnavailable
from perennial.settings import Settings, settings

Report = Callable[[str], None]

#: What is stopped together, in this order. A running task needs the servers of the second group until it has ended.
_STOPPING = (("dag-processor", "triggerer", "scheduler"), ("api-server", "mlflow"))
_START_TIMEOUT = 180.0
_STOP_TIMEOUT = 15.0


def up(report: Report = lambda line: None) -> None:
    """Start what is not running and wait until all of it is healthy. What runs already is left alone.

    Args:
        report: Told each step in words.

    Raises:
        PerennialError: a port belongs to another program.
        ServiceUnavailable: a process ended or did not become healthy; the error shows its last lines.
    """
    where = settings()
    with _one_at_a_time():
        processes.stop([name for name in ("mlflow", "api-server") if not is_running(name)], 0)
        check_ports()
        if where.database is None and not postgres.is_ready():
            report("PostgreSQL: starting")
            postgres.start()
        if where.database is None or _is_ours(where):
            postgres.create_databases()
        waiting: list[Callable[[], None]] = []
        if embeds_mlflow(where):
            waiting.append(_start_mlflow(report))
        if embeds_airflow(where):
            waiting.append(_start_airflow(report))
        for wait in waiting:
            wait()


def down(report: Report = lambda line: None) -> list[str]:
    """Stop everything that `up` started, and return the names of what was running."""
    stopped = []
    with _one_at_a_time():
        for group in _STOPPING:
            for name in processes.stop(group, _STOP_TIMEOUT):
                report(f"{name}: stopped")
                stopped.append(name)
        if postgres.stop():
            report("postgresql: stopped")
            stopped.append("postgresql")
    return stopped


def _is_ours(where: Settings) -> bool:
    """Whether the servers that use an external PostgreSQL are ours, so that their databases are too."""
    return embeds_mlflow(where) or embeds_airflow(where)


def _start_mlflow(report: Report) -> Callable[[], None]:
    where = settings()
    if not is_running("mlflow"):
        report("MLflow: starting")
        variables = mlflow_environment()
        command = [
            *(sys.executable, "-m", "perennial.embedded.mlflow_server", "--app-name", "basic-auth"),
            *("--host", where.mlflow_host, "--port", str(where.mlflow_port), "--workers", "1"),
            *("--serve-artifacts", "--artifacts-destination", str(where.home / "mlflow" / "artifacts")),
            *("--default-artifact-root", "mlflow-artifacts:/"),
        ]
        processes.start("mlflow", command, variables)

    def wait() -> None:
        _wait_healthy("mlflow", lambda: _answers(f"{where.mlflow_uri}/health") is not None)
        report(f"MLflow: ready at {where.mlflow_uri}")

    return wait


def _start_airflow(report: Report) -> Callable[[], None]:
    where = settings()
    missing = [name for name in AIRFLOW if not is_running(name)]
    processes.stop(missing, 0)  # What a killed one left behind.
    began = time.time()
    if missing:
        variables = environment()
        write_airflow_login()
        _migrate(variables, report)
        report(f"Airflow: starting {', '.join(missing)}")
        for name in missing:
            # Their log servers listen on all interfaces; the pages read the log files themselves.
            flags = ["--skip-serve-logs"] if name in ("scheduler", "triggerer") else []
            processes.start(name, [sys.executable, "-m", "airflow", name, *flags], variables)

    def wait() -> None:
        for name in AIRFLOW:
            _wait_healthy(name, partial(_beats, where, name, began if name in missing else 0.0))
        # Asked first here, the part that tasks speak to prepares itself for seconds, for longer than a task would wait.
        _wait_healthy("api-server", lambda: _answers(f"{where.airflow_uri}/execution/health") is not None)
        report(f"Airflow: ready at {where.airflow_uri}")

    return wait


def _migrate(variables: dict[str, str], report: Report) -> None:
    """Bring Airflow's tables to this Airflow's version; nothing to do when they are known to be there."""
    from importlib.metadata import version

    from sqlalchemy import create_engine, text

    from perennial.services import postgres as database

    stamp = settings().home / "run" / "airflow-database.json"
    engine = create_engine(database.url("airflow"))
    try:
        with engine.connect() as connection:
            if connection.execute(text("SELECT to_regclass('alembic_version')")).scalar() is not None:
                revision = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
                if stamp.exists() and json.loads(stamp.read_text()) == [version("apache-airflow"), revision]:
                    return
        report("Airflow: migrating its database")
        log = processes.log_file("migrate")
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            command = [sys.executable, "-m", "airflow", "db", "migrate"]
            done = subprocess.run(command, env=variables, stdout=output, stderr=output, stdin=subprocess.DEVNULL)
        if done.returncode != 0:
            raise ServiceUnavailable(
                f"Airflow's database could not be migrated:\n{processes.log_tail('migrate')}", f"Read {log}."
            )
        with engine.connect() as connection:
            revision = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
        stamp.parent.mkdir(parents=True, exist_ok=True)
        stamp.write_text(json.dumps([version("apache-airflow"), revision]))
    finally:
        engine.dispose()


def _beats(where: Settings, name: str, since: float) -> bool:
    """Whether an Airflow component is healthy by its own heartbeat, given after `since` (seconds since the epoch)."""
    health = _answers(f"{where.airflow_uri}/api/v2/monitor/health")
    if health is None or health["metadatabase"]["status"] != "healthy":
        return False
    if name == "api-server":
        return True
    key = name.replace("-", "_")
    if name == "scheduler" and not _has_workers(name):
        return False  # Its first beat comes before it imports the libraries; tasks start after that.
    beat = health[key].get(f"latest_{key}_heartbeat")
    return health[key]["status"] == "healthy" and beat is not None and datetime.fromisoformat(beat).timestamp() >= since


def _has_workers(name: str) -> bool:
    record = processes.Record.read(name)
    leader = record.process() if record else None
    try:
        return leader is not None and bool(leader.children())
    except psutil.NoSuchProcess:
        return False


@cache
def _http() -> httpx.Client:
    return httpx.Client(timeout=5)


def _answers(url: str) -> dict | None:
    try:
        answer = _http().get(url)
    except httpx.HTTPError:
        return None
    if answer.status_code != 200:
        return None
    return answer.json() if "json" in answer.headers.get("content-type", "") else {}


def _wait_healthy(name: str, healthy: Callable[[], bool]) -> None:
    def settled() -> bool:
        return not is_running(name) or healthy()

    fix = f"Read {processes.log_file(name)}, then run `perennial up` again."
    if not processes.wait_until(settled, _START_TIMEOUT, every=0.3):
        raise ServiceUnavailable(f"{name} runs but did not become healthy within {_START_TIMEOUT:.0f} s.", fix)
    if not is_running(name):
        raise ServiceUnavailable(f"{name} ended while starting:\n{processes.log_tail(name)}", fix)


def check_ports() -> None:
    """Insist that what `up` would start can listen.

    Raises:
        PerennialError: a port belongs to another program.
    """
    where = settings()
    if embeds_mlflow(where) and not is_running("mlflow"):
        _check_port("MLflow", where.mlflow_host, where.mlflow_port, "PERENNIAL_MLFLOW_PORT")
    if embeds_airflow(where) and not is_running("api-server"):
        _check_port("Airflow", where.airflow_host, where.airflow_port, "PERENNIAL_AIRFLOW_PORT")


def _check_port(service: str, host: str, port: int, setting: str) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise PerennialError(
                f"{service} cannot listen on {host}:{port}: {error.strerror}.",
                f"End the program that uses port {port} (`ss -ltnp` shows it), or choose another by {setting}.",
            ) from error


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Two `up` or `down` at once wait for one another; the lock ends with its process."""
    from filelock import FileLock

    run = settings().home / "run"
    run.mkdir(parents=True, exist_ok=True)
    with FileLock(run / "lock"):
        yield
