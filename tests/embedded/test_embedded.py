"""The machine room's parts: login, environment, processes and ports. The whole of it runs in `end_to_end/`."""

from __future__ import annotations

import inspect
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from perennial import embedded
from perennial.embedded import environment, machine, postgres, processes
from perennial.errors import InvalidSetting, PerennialError, ServiceUnavailable
from perennial.services import postgres as database
from perennial.services.credentials import login, other_logins, path, write_once
from perennial.settings import settings

SLEEP = [sys.executable, "-c", "import time; time.sleep(300)"]
#: Starts a child that outlives it, says its number, and sleeps.
PARENT = [
    sys.executable,
    "-c",
    "import subprocess, sys, time; child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(300)'])\n"
    "print(child.pid, flush=True); time.sleep(300)",
]


@pytest.fixture
def empty_home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home with nothing in it and nothing running."""
    # Not below pytest's folder: each pytest that starts closes that to other users, PostgreSQL's among them.
    folder = Path(tempfile.mkdtemp(prefix="perennial-test-"))
    monkeypatch.setenv("PERENNIAL_HOME", str(folder))
    settings.cache_clear()
    yield folder
    for record in (folder / "run").glob("*.json"):
        processes.stop([record.stem], 0)
    postgres.stop()
    shutil.rmtree(folder, ignore_errors=True)
    monkeypatch.undo()
    settings.cache_clear()


def test_login_is_generated_once_and_private(empty_home: Path) -> None:
    first = login()
    assert first == login()
    assert first.user == "admin"
    assert len(first.password) >= 20
    assert first.password not in repr(first)
    assert stat.S_IMODE(path().stat().st_mode) == 0o600


def test_login_from_the_environment_wins(empty_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERENNIAL_PASSWORD", "from-outside")
    assert login().password == "from-outside"
    assert not path().exists()


def test_further_users_get_a_password_each_that_stays(empty_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERENNIAL_USERS", '{"vera": "viewer", "otto": "op"}')
    settings.cache_clear()
    first = other_logins()
    assert [one.user for one in first] == ["vera", "otto"]
    assert len({one.password for one in (*first, login())}) == 3
    monkeypatch.setenv("PERENNIAL_USERS", '{"otto": "op", "admin": "viewer"}')
    settings.cache_clear()
    assert other_logins() == first[1:], "and nobody takes the admin's place"


@pytest.mark.parametrize("users", ['{"vera": "boss"}', '{"a:admin,b": "viewer"}', '{"../x": "viewer"}'])
def test_a_user_who_cannot_be_is_named(empty_home: Path, monkeypatch: pytest.MonkeyPatch, users: str) -> None:
    with monkeypatch.context() as wrong:
        wrong.setenv("PERENNIAL_USERS", users)
        settings.cache_clear()
        with pytest.raises(InvalidSetting, match="PERENNIAL_USERS"):
            settings()
    settings.cache_clear()


def test_a_broken_login_file_is_named(empty_home: Path) -> None:
    path().write_text("{")
    with pytest.raises(PerennialError, match=r"login\.json is not readable"):
        login()


def test_what_is_written_once_stays(empty_home: Path) -> None:
    file = empty_home / "deep" / "keys.json"
    assert write_once(file, {"a": "1"}) == {"a": "1"}
    assert write_once(file, {"a": "2"}) == {"a": "1"}


def test_environment_leads_to_the_embedded_parts(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    seen = environment.environment()
    assert "PYTHONDONTWRITEBYTECODE" not in seen
    assert seen["PERENNIAL_HOME"] == str(home)
    assert seen["MLFLOW_TRACKING_URI"] == settings().mlflow_uri
    assert seen["MLFLOW_TRACKING_PASSWORD"] == login().password
    assert seen["AIRFLOW__API__HOST"] == "127.0.0.1"
    assert len(bytes.fromhex(seen["AIRFLOW__API_AUTH__JWT_SECRET"])) == 64
    assert seen == environment.environment(), "keys must not change between two starts"


def test_environment_needs_postgres(empty_home: Path) -> None:
    with pytest.raises(ServiceUnavailable, match="perennial up"):
        environment.environment()


def test_a_process_is_started_in_its_own_session_and_stopped(empty_home: Path) -> None:
    record = processes.start("sleeper", SLEEP, os.environ)
    assert os.getsid(record.pid) == record.pid
    assert processes.Record.read("sleeper") == record
    assert processes.stop(["sleeper"], 5) == ["sleeper"]
    assert not psutil.pid_exists(record.pid) or psutil.Process(record.pid).status() == psutil.STATUS_ZOMBIE
    assert processes.stop(["sleeper"], 5) == [], "a second time is fine"


def test_a_process_that_does_not_listen_is_killed(empty_home: Path) -> None:
    deaf = [
        sys.executable,
        "-c",
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(300)",
    ]
    record = processes.start("deaf", deaf, os.environ)
    assert processes.wait_until(lambda: processes.log_tail("deaf") == "1", 20)
    assert processes.stop(["deaf"], 0.3) == ["deaf"]
    assert record.process() is None


def test_what_a_killed_process_leaves_behind_is_ended(empty_home: Path) -> None:
    record = processes.start("parent", PARENT, os.environ)
    assert processes.wait_until(lambda: processes.log_tail("parent").isdigit(), 20)
    orphan = psutil.Process(int(processes.log_tail("parent")))
    os.kill(record.pid, signal.SIGKILL)
    os.waitpid(record.pid, 0)
    assert orphan.is_running()
    assert processes.stop(["parent"], 1) == ["parent"]
    assert not orphan.is_running() or orphan.status() == psutil.STATUS_ZOMBIE


def test_a_stranger_with_a_recorded_number_is_left_alone(empty_home: Path) -> None:
    stranger = subprocess.Popen(SLEEP, start_new_session=True)
    try:
        processes.Record("scheduler", stranger.pid, time.time() - 3600).write()
        assert processes.stop(["scheduler"], 1) == []
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_damaged_record_counts_as_none(empty_home: Path) -> None:
    (empty_home / "run").mkdir()
    (empty_home / "run" / "mlflow.json").write_text("{")
    assert processes.Record.read("mlflow") is None


def test_down_is_fine_when_nothing_runs(empty_home: Path) -> None:
    assert embedded.down() == []
    assert embedded.down() == []


def test_what_runs_can_be_asked_twice(empty_home: Path) -> None:
    assert embedded.running() == embedded.running() == []


def test_a_taken_port_is_named_with_its_setting(empty_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        monkeypatch.setenv("PERENNIAL_MLFLOW_PORT", str(port))
        settings.cache_clear()
        with pytest.raises(PerennialError, match=str(port)) as raised:
            embedded.up()
        assert "PERENNIAL_MLFLOW_PORT" in raised.value.fix
        assert not postgres.is_ready(), "nothing is started when something cannot be"


def test_external_parts_are_not_started(empty_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERENNIAL_MLFLOW_URI", "http://mlflow.example:5000")
    monkeypatch.setenv("PERENNIAL_AIRFLOW_URI", "http://airflow.example:8080")
    settings.cache_clear()
    states = {service.name: service.state for service in embedded.services()}
    assert states == {"Airflow": "external", "MLflow": "external", "PostgreSQL": "stopped"}


def test_no_password_is_among_the_arguments_of_a_server(empty_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERENNIAL_DATABASE", "postgresql://perennial:hidden@127.0.0.1:9")
    settings.cache_clear()
    started: list[tuple[list[str], dict[str, str]]] = []
    monkeypatch.setattr(processes, "start", lambda name, command, variables: started.append((command, variables)))
    machine._start_mlflow(lambda line: None)
    ((command, variables),) = started
    assert "hidden" not in " ".join(command)
    assert "hidden" in variables["MLFLOW_BACKEND_STORE_URI"]


def test_postgres_survives_being_killed(empty_home: Path) -> None:
    postgres.start()
    try:
        postgres.create_databases()
        postgres.create_databases()
        before = postgres.process()
        assert before is not None
        before.send_signal(signal.SIGKILL)
        assert processes.wait_until(lambda: not postgres.is_ready(), 20)
        postgres.start()
        with database.create_engine(database.url("lake")).connect() as connection:
            assert connection.exec_driver_sql("SELECT 1").scalar() == 1
    finally:
        assert postgres.stop()
    assert not postgres.is_ready()
    assert not postgres.stop()


def test_two_starts_wait_for_one_another(empty_home: Path) -> None:
    other = [sys.executable, "-c", "from perennial import embedded; embedded.down(); print('done')"]
    with machine._one_at_a_time():
        waiting = subprocess.Popen(other, stdout=subprocess.PIPE, env=os.environ | {"PERENNIAL_HOME": str(empty_home)})
        with pytest.raises(subprocess.TimeoutExpired):
            waiting.wait(3)
    assert waiting.communicate(timeout=30)[0].strip() == b"done"


def test_records_are_readable_by_people(empty_home: Path) -> None:
    processes.start("sleeper", SLEEP, os.environ)
    assert set(json.loads((empty_home / "run" / "sleeper.json").read_text())) == {"name", "pid", "started"}


def test_mlflow_still_starts_its_server_through_the_step_that_we_replace() -> None:
    # When this fails, `perennial.embedded.mlflow_server` may go: MLflow no longer takes that step, or takes another.
    import mlflow.server

    assert "_exec_cmd(" in inspect.getsource(mlflow.server._run_server)
