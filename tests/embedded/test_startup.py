"""Starting and stopping the embedded servers. All of them together run in `end_to_end/`."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from machines import free_port

from perennial import embedded
from perennial.embedded import postgres, processes, startup
from perennial.errors import PerennialError
from perennial.settings import settings


def test_down_does_nothing_when_nothing_runs(empty_home: Path) -> None:
    assert embedded.down() == []
    assert embedded.down() == []


def test_a_used_port_is_named_with_its_setting(empty_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_a_used_port_of_serving_is_named_too(empty_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        for name, port in (("MLFLOW", free_port()), ("AIRFLOW", free_port()), ("SERVING", other.getsockname()[1])):
            monkeypatch.setenv(f"PERENNIAL_{name}_PORT", str(port))
        settings.cache_clear()
        with pytest.raises(PerennialError, match="The prediction server cannot listen") as raised:
            embedded.up()
        assert "PERENNIAL_SERVING_PORT" in raised.value.fix
        monkeypatch.setenv("PERENNIAL_SERVING_URI", "none")
        settings.cache_clear()
        startup.check_ports()


def test_a_prediction_server_that_works_is_left_alone(empty_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[list[str]] = []
    monkeypatch.setattr(processes, "start", lambda name, command, variables: started.append([name, *command]))
    lines: list[str] = []
    startup._start_serving(lines.append)
    assert started == [["serving", sys.executable, "-m", "perennial.cli", "serve"]]
    assert lines == [f"Prediction server: starting at {settings().serving_uri}"]
    me = processes.Record("serving", os.getpid(), psutil.Process().create_time())
    monkeypatch.setattr(processes.Record, "read", classmethod(lambda cls, name: me))
    monkeypatch.setattr(processes, "stop", lambda names, patience: [])
    monkeypatch.setattr(startup, "is_healthy", lambda name, since: True)
    startup._start_serving(lines.append)
    assert len(started) == 1
    monkeypatch.setattr(startup, "is_healthy", lambda name, since: False)
    monkeypatch.setattr(startup, "_SERVING_TIMEOUT", 1e9)
    startup._start_serving(lines.append)
    assert len(started) == 1, "it may still be importing"
    monkeypatch.setattr(startup, "_SERVING_TIMEOUT", 0.0)
    startup._start_serving(lines.append)
    assert len(started) == 2


def test_no_password_is_among_the_arguments_of_a_server(empty_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERENNIAL_DATABASE", "postgresql://perennial:hidden@127.0.0.1:9")
    settings.cache_clear()
    started: list[tuple[list[str], dict[str, str]]] = []
    monkeypatch.setattr(processes, "start", lambda name, command, variables: started.append((command, variables)))
    startup._start_mlflow(lambda line: None)
    ((command, variables),) = started
    assert "hidden" not in " ".join(command)
    assert "hidden" in variables["MLFLOW_BACKEND_STORE_URI"]


def test_two_starts_wait_for_one_another(empty_home: Path) -> None:
    other = [sys.executable, "-c", "from perennial import embedded; embedded.down(); print('done')"]
    with startup._one_at_a_time():
        waiting = subprocess.Popen(other, stdout=subprocess.PIPE, env=os.environ | {"PERENNIAL_HOME": str(empty_home)})
        with pytest.raises(subprocess.TimeoutExpired):
            waiting.wait(3)
    assert waiting.communicate(timeout=30)[0].strip() == b"done"
