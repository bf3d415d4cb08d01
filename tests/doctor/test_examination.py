"""`perennial doctor` as a whole: before anything was started, what is told, and what must not be."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from examined import Examine, by_name
from machines import free_port

from perennial.doctor import Check, Finding, examine
from perennial.doctor.finding import STATES, passed


def test_a_newcomer_sees_what_is_fine_and_what_to_start(home: Path) -> None:
    environment = os.environ | {"PERENNIAL_MLFLOW_PORT": str(free_port()), "PERENNIAL_AIRFLOW_PORT": str(free_port())}
    done = subprocess.run(
        [sys.executable, "-m", "perennial.cli", "doctor"], capture_output=True, text=True, env=environment, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "failed" not in done.stdout
    assert "no answer" not in done.stdout
    assert "PostgreSQL: nothing was started yet" in done.stdout
    assert "Start it with `perennial up`." in done.stdout
    assert "flights: loads" in done.stdout
    assert "DAGs in" in done.stdout
    assert "\x1b" not in done.stdout + done.stderr
    assert not home.exists(), "it writes nothing, and generates no login"


def test_as_json_each_finding_has_all_of_it(home: Path) -> None:
    environment = os.environ | {"PERENNIAL_MLFLOW_PORT": str(free_port()), "PERENNIAL_AIRFLOW_PORT": "1"}
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        environment["PERENNIAL_AIRFLOW_PORT"] = str(other.getsockname()[1])
        done = subprocess.run(
            [sys.executable, "-m", "perennial.cli", "doctor", "--json"],
            capture_output=True,
            text=True,
            env=environment,
            timeout=120,
        )
    assert done.returncode == 1, "a port is taken"
    told = json.loads(done.stdout)
    assert told["healthy"] is False
    for finding in told["findings"]:
        assert set(finding) == {"subject", "name", "state", "said", "mend"}
        assert finding["state"] in STATES
        assert finding["said"]
        assert "\n" not in finding["said"] + finding["mend"]
        assert finding["mend"] or finding["state"] in ("passed", "not applicable"), finding


def test_a_home_that_cannot_be_written(looked_at: Examine) -> None:
    # Nobody, root included, can make a file there.
    found = looked_at("Home", "Disk", PERENNIAL_HOME="/proc/perennial")
    assert found["Home"].state == "failed"
    assert "/proc cannot be written" in found["Home"].message
    assert "PERENNIAL_HOME" in found["Home"].fix


def test_a_home_that_is_a_file(tmp_path: Path, looked_at: Examine) -> None:
    (tmp_path / "file").write_text("")
    assert looked_at("Home", PERENNIAL_HOME=str(tmp_path / "file"))["Home"].state == "failed"


def test_secrets_that_others_may_read(home: Path, looked_at: Examine) -> None:
    from perennial.services.credentials import login, path

    assert looked_at("Secrets")["Secrets"].state == "not applicable"
    login()
    assert looked_at("Secrets")["Secrets"].state == "passed"
    path().chmod(0o644)
    found = looked_at("Secrets")["Secrets"]
    assert found.state == "failed"
    assert f"chmod 600 {path()}" in found.fix
    assert stat.S_IMODE(path().stat().st_mode) == 0o644, "it looks, and changes nothing"


def test_settings_and_where_they_come_from(looked_at: Examine) -> None:
    found = looked_at("Settings", "names", PERENNIAL_PARALLELISM="3", PERENNIAL_MLFLOW_PROT="5501")
    assert found["parallelism"].message == "3 (from PERENNIAL_PARALLELISM)"
    assert found["PERENNIAL_MLFLOW_PROT"].state == "warning"
    assert "Did you mean 'PERENNIAL_MLFLOW_PORT'?" in found["PERENNIAL_MLFLOW_PROT"].fix


def test_an_invalid_setting_is_the_only_finding(looked_at: Examine) -> None:
    found = looked_at(PERENNIAL_PARALLELISM="many")
    assert [(finding.name, finding.state) for finding in found.values()] == [("Settings", "failed")]
    assert "PERENNIAL_PARALLELISM" in found["Settings"].message


def test_no_secret_is_shown_whatever_goes_wrong(home: Path, looked_at: Examine) -> None:
    from perennial.services.credentials import login

    generated = login().password
    secrets = {
        "PERENNIAL_DATABASE": "postgresql://ada:correct-horse@127.0.0.1:9/x?sslpassword=clear-as-day",
        "PERENNIAL_ONLINE_STORE": "redis://:battery%2Dstaple@127.0.0.1:9/0",
        "PERENNIAL_MLFLOW_URI": "http://grace:top-secret@127.0.0.1:9",
        "PERENNIAL_CATALOG": '{"type": "rest", "uri": "http://joan:hush-hush@127.0.0.1:9", "token": "very-private"}',
        "MLFLOW_TRACKING_PASSWORD": "for-mlflow-only",
    }
    found = looked_at(**secrets)
    told = json.dumps([vars(finding) for finding in found.values()])
    for secret in (
        *("correct-horse", "clear-as-day", "battery", "top-secret", "hush-hush", "very-private", "for-mlflow-only"),
        generated,
    ):
        assert secret not in told, secret


def test_a_secret_in_a_message_is_hidden(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_TOKEN", "abc-def-ghi")

    def talkative() -> Iterator[Finding]:
        raise RuntimeError("cannot use abc-def-ghi\nat postgresql://ada:correct-horse@host/x")
        yield

    (finding,) = by_name(examine((Check("Servers", "Talkative", talkative),))).values()
    assert finding.state == "failed"
    assert finding.message == "the check itself failed: RuntimeError: cannot use *** at postgresql://***@host/x"


def test_what_this_user_may_not_see_is_named(home: Path) -> None:
    def forbidden() -> Iterator[Finding]:
        raise PermissionError(13, "Permission denied", "/srv/home/login.json")
        yield

    (finding,) = by_name(examine((Check("Machine", "Secrets", forbidden),))).values()
    assert (finding.state, finding.message) == ("failed", "this user may not read /srv/home/login.json")


def test_checks_run_in_parallel_and_none_blocks_the_others(home: Path) -> None:
    def slow(name: str, seconds: float) -> Check:
        def ask() -> Iterator[Finding]:
            time.sleep(seconds)
            yield passed(name, "done")

        return Check("Machine", name, ask)

    checks = (*(slow(f"slow {number}", 1.0) for number in range(8)), slow("endless", 60.0))
    examination = examine(checks, patience=4.0)
    assert examination.seconds < 6
    assert [finding.state for finding in by_name(examination).values()] == ["passed"] * 8 + ["warning"]
    assert examination.healthy
