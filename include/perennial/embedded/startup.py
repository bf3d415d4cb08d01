"""Starting and stopping the embedded servers: `perennial up` and `perennial down`."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from perennial._common import private_home
from perennial.embedded import postgres, processes
from perennial.embedded.environment import (
    environment,
    mlflow_environment,
    serving_environment,
    write_airflow_login,
)
from perennial.embedded.health import is_healthy, not_working
from perennial.embedded.status import (
    AIRFLOW_COMPONENTS,
    embeds_airflow,
    embeds_mlflow,
    embeds_serving,
    is_running,
)
from perennial.errors import PerennialError, ServiceUnavailable
from perennial.settings import Settings, settings

Report = Callable[[str], None]

#: Stopped group by group: a running task needs the servers of the second group until it has ended.
_STOPPING = (("serving", "dag-processor", "triggerer", "scheduler"), ("api-server", "mlflow"))
#: Checked group by group: the API server reports the others' heartbeats.
_STARTING = tuple(reversed(_STOPPING))
#: A prediction server that runs for longer than this, in seconds, has imported its libraries and answers.
_SERVING_TIMEOUT = 120.0
#: One of those that were running may end while others are being waited for.
_ROUNDS = 3
_START_TIMEOUT = 180.0
#: Longer than a prediction server takes at most: it answers what is under way, and carries its log into the lake.
_STOP_TIMEOUT = 25.0
#: How long a server that no longer works may take to end by itself, in seconds.
_DOOMED_TIMEOUT = 2.0


def up(report: Report = lambda line: None) -> None:
    """Start the servers that do not run, and again those that run but no longer work; wait until all are healthy.

    The prediction server is started last and not waited for: it loads the champions first, if there are any.

    Args:
        report: Called with a line about each step.

    Raises:
        PerennialError: another program uses a port.
        ServiceUnavailable: a process ended or did not become healthy; the error shows its last lines.
    """
    where = settings()
    private_home.close(where.home)
    with _one_at_a_time():
        processes.stop([name for name in ("mlflow", "api-server", "serving") if not is_running(name)], 0)
        check_ports()
        if where.database is None:
            if not postgres.answers():
                report("PostgreSQL: starting")
            postgres.start()  # Also closes one that an earlier release started.
        if where.database is None or embeds_mlflow(where) or embeds_airflow(where):
            postgres.create_databases()
        for _ in range(_ROUNDS):
            _start_and_check(where, report)
            if not [name for name in _names(where) if not is_running(name)]:
                break
        if embeds_mlflow(where):
            report(f"MLflow: ready at {where.mlflow_uri}")
        if embeds_airflow(where):
            report(f"Airflow: ready at {where.airflow_uri}")
        if embeds_serving(where):
            _start_serving(report)


def _names(where: Settings) -> list[str]:
    """The servers, but PostgreSQL, that these settings use; the scheduler is the first of Airflow's."""
    return [*(("mlflow",) if embeds_mlflow(where) else ()), *(AIRFLOW_COMPONENTS if embeds_airflow(where) else ())]


def _start_and_check(where: Settings, report: Report) -> None:
    """Start the servers that do not run, and wait for each server's first sign of work since now.

    Those that answer requests go first: they report the others' heartbeats.
    """
    names, began = _names(where), time.time()
    missing = [name for name in names if not is_running(name)]
    _start(missing, report)
    for group in _STARTING:
        started = [name for name in names if name in group and name in missing]
        running = [name for name in names if name in group and name not in missing]
        if doomed := not_working(running, began):
            report(f"{', '.join(doomed)}: {'does' if len(doomed) == 1 else 'do'} not work any more, and will be ended")
            restarted = time.time()
            _start(doomed, report)
        for name in started:
            _wait_healthy(name, partial(is_healthy, name, began))
        for name in doomed:
            _wait_healthy(name, partial(is_healthy, name, restarted))


def down(report: Report = lambda line: None) -> list[str]:
    """Stop everything that `up` started.

    Args:
        report: Called with a line about each server that was stopped.

    Returns:
        The names of the servers that were running.
    """
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


def _start(names: Sequence[str], report: Report) -> None:
    """Start servers, after ending what is left of each."""
    processes.stop(names, _DOOMED_TIMEOUT)
    if "mlflow" in names:
        _start_mlflow(report)
    if components := [name for name in names if name != "mlflow"]:
        _start_airflow(components, report)


def _start_mlflow(report: Report) -> None:
    where = settings()
    report("MLflow: starting")
    variables = mlflow_environment()
    command = [
        *(sys.executable, "-m", "perennial.embedded.mlflow_server", "--app-name", "basic-auth"),
        *("--host", where.mlflow_host, "--port", str(where.mlflow_port), "--workers", "1"),
        *("--serve-artifacts", "--artifacts-destination", str(where.home / "mlflow" / "artifacts")),
        *("--default-artifact-root", "mlflow-artifacts:/"),
    ]
    processes.start("mlflow", command, variables)


def _start_airflow(components: Sequence[str], report: Report) -> None:
    variables = environment()
    write_airflow_login()
    _migrate(variables, report)
    report(f"Airflow: starting {', '.join(components)}")
    for name in components:
        # Their log servers listen on all interfaces; the pages read the log files themselves.
        flags = ["--skip-serve-logs"] if name in ("scheduler", "triggerer") else []
        processes.start(name, [sys.executable, "-m", "airflow", name, *flags], variables)


def _start_serving(report: Report) -> None:
    """Start the prediction server unless it works, or was started a moment ago; wait for nothing."""
    record = processes.Record.read("serving")
    is_new = record is not None and time.time() - record.started < _SERVING_TIMEOUT
    if is_running("serving") and (is_new or is_healthy("serving", 0.0)):
        return
    processes.stop(["serving"], _DOOMED_TIMEOUT)
    report(f"Prediction server: starting at {settings().serving_uri}")
    processes.start("serving", [sys.executable, "-m", "perennial.cli", "serve"], serving_environment())


def _migrate(variables: dict[str, str], report: Report) -> None:
    """Migrate Airflow's tables to the installed version; skipped when the stamp file says that they are of it."""
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
            mask = private_home.umask(settings().home)
            done = subprocess.run(
                command, env=variables, stdout=output, stderr=output, stdin=subprocess.DEVNULL, umask=mask
            )
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


def _wait_healthy(name: str, healthy: Callable[[], bool]) -> None:
    def is_healthy_or_ended() -> bool:
        return not is_running(name) or healthy()

    fix = f"Read {processes.log_file(name)}, then run `perennial up` again."
    if not processes.wait_until(is_healthy_or_ended, _START_TIMEOUT, every=0.3):
        raise ServiceUnavailable(f"{name} runs but did not become healthy within {_START_TIMEOUT:.0f} s.", fix)
    if not is_running(name):
        raise ServiceUnavailable(f"{name} ended while starting:\n{processes.log_tail(name)}", fix)


def check_ports() -> None:
    """Check that the servers which `up` would start can listen.

    Raises:
        PerennialError: another program uses a port.
    """
    where = settings()
    if embeds_mlflow(where) and not is_running("mlflow"):
        _check_port("MLflow", where.mlflow_host, where.mlflow_port, "PERENNIAL_MLFLOW_PORT")
    if embeds_airflow(where) and not is_running("api-server"):
        _check_port("Airflow", where.airflow_host, where.airflow_port, "PERENNIAL_AIRFLOW_PORT")
    if embeds_serving(where) and not is_running("serving"):
        _check_port("The prediction server", where.serving_host, where.serving_port, "PERENNIAL_SERVING_PORT")


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
    """Let only one `up` or `down` run at a time; the lock ends with its process."""
    from filelock import FileLock

    run = settings().home / "run"
    run.mkdir(parents=True, exist_ok=True)
    with FileLock(run / "lock"):
        yield
