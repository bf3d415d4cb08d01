"""`rollback`, `resume` and `history` as a user meets them, with a ledger in a real lake. That a rollback is carried out
by Airflow is shown in `end_to_end/` and `dags/`."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from perennial import discovery
from perennial.registry import ledger

MARCH = datetime(2013, 3, 1, tzinfo=UTC)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "perennial.cli", *arguments]
    nowhere = {"PERENNIAL_AIRFLOW_URI": "http://127.0.0.1:9"}
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | nowhere, timeout=120)


@pytest.fixture(scope="module")
def flights(home: Path) -> str:
    """v1 was promoted, then v2; ada has rolled back to v1."""
    use_case = discovery.load("flights")
    shared = {"partition": "2013-02", "effective_from": MARCH, "model_run": "r"}
    for version in (1, 2):
        ledger.record(
            use_case,
            action="promoted",
            model_version=version,
            previous_version=version - 1 or None,
            actor="gate",
            reason="better",
            evidence={},
            **shared,
        )
    ledger.record(
        use_case,
        event_id="rollback:a",
        action="rolled-back",
        model_version=1,
        previous_version=2,
        actor="ada",
        reason="wrong [at] night",
        evidence={ledger.PAUSE_UNTIL: None},
        **shared,
    )
    return use_case.name


def test_history_before_the_first_model(home: Path) -> None:
    assert "no version has been in production yet" in run("history", "flights").stdout


def test_history_says_who_served_when_and_why(flights: str) -> None:
    done = run("history", flights)
    assert done.returncode == 0, done.stderr
    rows = [line for line in done.stdout.splitlines() if re.match(r"v\d", line)]
    assert [row.split()[0] for row in rows] == ["v1", "v2", "v1"]
    assert "rolled back" in rows[2]
    assert "wrong [at] night" in rows[2]
    assert "now" in rows[2]
    assert "until a person resumes it" in done.stdout


def test_history_as_json_is_exact(flights: str) -> None:
    result = json.loads(run("history", flights, "--json").stdout)
    recorded = [entry.recorded_at for entry in ledger.entries(discovery.load(flights))]
    assert [datetime.fromisoformat(one["since"]) for one in result["served"]] == recorded
    assert [one["until"] for one in result["served"]] == [one["since"] for one in result["served"][1:]] + [None]
    assert result["served"][2]["how"] == "rolled-back"
    assert result["pause"]["by"] == "ada"


def test_status_tells_the_rollback_and_the_pause(flights: str) -> None:
    shown = run("status", flights).stdout
    assert "v2 to v1" in shown
    assert "by ada: wrong [at] night" in shown
    assert "until a person resumes it" in shown
    assert "promotion paused" in run("status").stdout
    result = json.loads(run("status", flights, "--json").stdout)
    assert (result["rollback"]["version"], result["rollback"]["previous"]) == (1, 2)
    assert result["pause"] == {**result["pause"], "until": None, "by": "ada", "reason": "wrong [at] night"}
    assert result["partitions"][0]["done"].endswith("rolled back to v1")


def test_a_dry_run_says_what_would_be_done_and_does_nothing(flights: str) -> None:
    before = ledger.entries(discovery.load(flights))
    done = run("rollback", flights, "--to", "2", "--pause", "7d", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "v1 -> v2" in done.stdout
    assert "2013-03 on" in done.stdout
    assert "for 7d" in done.stdout
    assert ledger.entries(discovery.load(flights)) == before


def test_a_dry_run_as_json_tells_the_same(flights: str) -> None:
    result = json.loads(run("rollback", flights, "--to", "2", "--pause", "7d", "--dry-run", "--json").stdout)
    assert result == {"from": 1, "to": 2, "first_partition": "2013-03", "pause": "7d"}


def test_what_a_resumption_would_end_is_shown(flights: str) -> None:
    before = ledger.entries(discovery.load(flights))
    done = run("resume", flights, "--dry-run", "--json")
    assert done.returncode == 0, done.stderr
    assert "by ada: wrong [at] night" in json.loads(done.stdout)["pause"]
    assert "would end" in done.stderr
    assert ledger.entries(discovery.load(flights)) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("rollback", "flights"), "--reason"),
        (("rollback", "flights", "--reason", " "), "--reason"),
        (("rollback", "flights", "--reason", "x"), "no version served before v1"),
        (("rollback", "flights", "--reason", "x", "--to", "7"), "have: v1, v2"),
        (("rollback", "flights", "--reason", "x", "--to", "1"), "serves already"),
        (("rollback", "flights", "--reason", "x", "--to", "0"), "--to"),
        (("rollback", "flights", "--reason", "x", "--pause", "soon"), "such as 7d"),
        (("rollback", "flights", "--reason", "x", "--pause", "7d", "--until-resumed"), "exclude"),
        (("rollback", "fligths", "--reason", "x"), "Did you mean 'flights'?"),
        (("resume", "flights"), "--reason"),
        (("history", "fligths"), "Did you mean 'flights'?"),
        (("trigger", "flights", "champion", "--param", "too=1"), "Known: action, pause, reason, to"),
    ],
)
def test_what_cannot_be_exits_with_2(flights: str, arguments: tuple[str, ...], message: str) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.usefixtures("flights")
def test_resuming_what_is_not_paused_exits_with_2() -> None:
    use_case = discovery.load("flights")
    champion = ledger.champion(use_case)
    ledger.record(
        use_case,
        event_id="resume:a",
        action="resumed",
        **{name: getattr(champion, name) for name in ("partition", "model_version", "previous_version", "model_run")},
        effective_from=MARCH,
        actor="ada",
        reason="mended",
        evidence={},
    )
    done = run("resume", "flights", "--reason", "x")
    assert done.returncode == 2
    assert "not paused" in done.stderr
    assert json.loads(run("history", "flights", "--json").stdout)["pause"] is None
