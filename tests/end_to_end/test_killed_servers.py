"""All servers killed, in two rounds, while a replay runs: it waits, `perennial up` starts what is missing.

`make chaos` kills each alone, and compares with an undisturbed replay (`tests/chaos/test_servers.py`).
"""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator

import psutil
import pytest
from killed_servers import Replay, Servers, servers

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(900)]

DAYS = ["2024-01-01", "2024-01-02", "2024-01-03"]


@pytest.fixture(scope="module")
def machine() -> Iterator[Servers]:
    with servers() as running:
        yield running


def test_a_replay_waits_until_up_has_started_what_was_killed(machine: Servers) -> None:
    with Replay(machine, DAYS[0], DAYS[-1]) as replay:
        replay.wait_for(DAYS[0], "monitoring done")
        machine.kill("scheduler", "api-server", "dag-processor", "triggerer", "serving")
        replay.wait_for("does not answer", "waiting up to 10 minutes. `perennial up` starts it.")
        machine.up()
        assert psutil.pid_exists(machine.pid("serving"))
        replay.wait_for("answers again")
        replay.wait_for(DAYS[2], "monitoring done")
        machine.kill("postgresql", "mlflow")
        before = machine.pid("scheduler")
        printed = machine.up(at_once=2)
        assert machine.pid("scheduler") != before, f"it had lost its database:\n{printed}"
        assert machine.password not in printed
        assert replay.end() == 0, replay.printed


def test_every_partition_is_there_once(machine: Servers) -> None:
    contents = machine.contents()
    # As in an undisturbed replay; there is no history before the first hour.
    for table, expected in {"readings": 864, "meter_history": 852, "examples": 864}.items():
        rows = contents[f"energy.{table}"]
        assert (len(rows), len(set(rows))) == (expected, expected), table
    assert (contents["versions"], contents["aliases"]["champion"]) == ([1], 1)
    [entry] = [json.loads(row) for row in contents["energy.ledger"]]
    assert (entry["action"], entry["model_version"]) == ("promoted", 1)
    verdicts = [json.loads(row) for row in contents["energy.verdicts"]]
    assert sorted(row["partition"] for row in verdicts) == DAYS


def test_ctrl_c_ends_a_replay_that_waits_for_airflow(machine: Servers) -> None:
    with Replay(machine, DAYS[0], "2024-01-04") as replay:
        replay.wait_for(DAYS[-1], "already done")
        machine.kill("api-server")
        replay.wait_for("does not answer")
        replay.process.send_signal(signal.SIGINT)
        assert replay.end() == 130, replay.printed
        assert "Interrupted. What Airflow is running continues" in replay.printed
        assert "Traceback" not in replay.printed
