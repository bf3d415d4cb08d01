"""The doctor as a whole: what it reports before anything was started, and that no check affects another."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from examined import by_name
from machines import free_port

from perennial.doctor import Check, Finding, examine
from perennial.doctor.finding import STATES, passed


def test_a_newcomer_sees_what_is_fine_and_what_to_start(home: Path) -> None:
    ports = ("PERENNIAL_MLFLOW_PORT", "PERENNIAL_AIRFLOW_PORT", "PERENNIAL_SERVING_PORT")
    environment = os.environ | {name: str(free_port()) for name in ports}
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
    report = json.loads(done.stdout)
    assert report["healthy"] is False
    for finding in report["findings"]:
        assert set(finding) == {"subject", "name", "state", "said", "mend"}
        assert finding["state"] in STATES
        assert finding["said"]
        assert "\n" not in finding["said"] + finding["mend"]
        assert finding["mend"] or finding["state"] in ("passed", "not applicable"), finding


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
