"""The loop on real servers, driven as the README shows it: by plain HTTP and by the command line.

All tests of this file share the same servers, in order: each test finds what the earlier ones have done.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from airflow_runs import PATIENCE, follow, trigger, wait_for
from another_user import as_nobody, readable_below
from machines import free_port, inherited

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(900)]

PARTS = ("api-server", "dag-processor", "mlflow", "scheduler", "serving", "triggerer")


@dataclass(frozen=True)
class Machine:
    """Running servers, and how to call them."""

    home: Path
    environment: dict[str, str]
    airflow: str
    mlflow: str
    login: tuple[str, str]

    def perennial(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "perennial.cli", *arguments]
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=PATIENCE)

    def pids(self) -> dict[str, int]:
        return {name: json.loads((self.home / "run" / f"{name}.json").read_text())["pid"] for name in PARTS}


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    """`perennial up` in a home of its own, `perennial down` at the end."""
    home = Path(tempfile.mkdtemp(prefix="perennial-machine-"))
    home.chmod(0o755)  # As an earlier release made it.
    airflow, mlflow, serving = free_port(), free_port(), free_port()
    environment = inherited() | {
        "PERENNIAL_HOME": str(home),
        "PERENNIAL_AIRFLOW_PORT": str(airflow),
        "PERENNIAL_MLFLOW_PORT": str(mlflow),
        "PERENNIAL_SERVING_PORT": str(serving),
        "PERENNIAL_PARALLELISM": "2",
    }
    running = Machine(
        home, environment, f"http://127.0.0.1:{airflow}", f"http://127.0.0.1:{mlflow}", ("admin", "unknown yet")
    )
    try:
        started = running.perennial("up")
        assert started.returncode == 0, started.stdout + started.stderr
        written = json.loads((home / "login.json").read_text())
        yield Machine(home, environment, running.airflow, running.mlflow, (written["user"], written["password"]))
    finally:
        running.perennial("down")
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="module")
def http(machine: Machine) -> Iterator[httpx.Client]:
    """A plain HTTP client of Airflow's REST API, with a token got as the README shows it."""
    user, password = machine.login
    response = httpx.post(f"{machine.airflow}/auth/token", json={"username": user, "password": password}, timeout=60)
    assert response.status_code == 201
    headers = {"Authorization": f"Bearer {response.json()['access_token']}"}
    with httpx.Client(base_url=f"{machine.airflow}/api/v2", headers=headers, timeout=60) as client:
        yield client


def wait_for_dags(http: httpx.Client) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if http.get("/dags", params={"dag_id_prefix_pattern": "flights."}).json()["total_entries"] == 7:
            return
        time.sleep(0.5)
    raise AssertionError(http.get("/importErrors").json())


def pass_through(http: httpx.Client, partition: str) -> None:
    """Trigger a partition's features by one call and wait until asset events have carried it through monitoring."""
    run_id = f"replay__{partition}"
    assert trigger(http, "flights.features", run_id, partition).status_code == 200
    assert trigger(http, "flights.features", run_id, partition).status_code == 409, "a repeated call starts nothing"
    assert wait_for(http, "flights.features", run_id) == "success"
    assert follow(http, "flights.scoring", partition) == "success"
    assert follow(http, "flights.monitoring", partition) == "success"


def test_a_partition_passes_through_by_one_call(http: httpx.Client) -> None:
    wait_for_dags(http)
    pass_through(http, "2013-01")


def test_what_each_task_used_is_recorded(machine: Machine) -> None:
    deadline, recorded = time.monotonic() + PATIENCE, {}
    while recorded.keys() != {"features", "scoring", "monitoring"} and time.monotonic() < deadline:
        time.sleep(0.5)  # It is recorded after the task's success is known.
        (told,) = json.loads(machine.perennial("costs", "flights", "--json").stdout)["use_cases"].values()
        recorded = {each["pipeline"]: each for each in told}
    assert {each["runs"] for each in recorded.values()} == {1}
    for each in recorded.values():
        assert 0 < each["cpu_hours"] < 0.1
        assert 0 < each["gb_hours"] < 0.1
        assert each["gb_read"] > 0


def test_the_doctor_finds_nothing_wrong_and_tells_no_secret(machine: Machine) -> None:
    done = machine.perennial("doctor", "--json")
    findings = {one["name"]: one for one in json.loads(done.stdout)["findings"]}
    assert [one for one in findings.values() if one["state"] == "failed"] == []
    assert done.returncode == 0
    answering = ("PostgreSQL", "Databases", "Clock", "Catalog", "MLflow", "MLflow login", "Airflow", "Airflow login")
    for name in (
        *answering,
        "Airflow health",
        "Artifact store",
        "Online store",
        "Secrets",
        "Feast definitions",
        "DAGs",
    ):
        assert findings[name]["state"] == "passed", findings[name]
    assert "our own api-server" in findings["Airflow port"]["said"]
    secrets = [machine.login[1], *json.loads((machine.home / "keys.json").read_text()).values()]
    assert not [secret for secret in secrets if secret in done.stdout + done.stderr]


def test_a_replay_can_be_foreseen(machine: Machine) -> None:
    done = machine.perennial("replay", "flights", "--from", "2013-01", "--to", "2013-02", "--dry-run", "--json")
    assert done.returncode == 0, done.stderr
    assert [(one["partition"], one["todo"]) for one in json.loads(done.stdout)] == [
        ("2013-01", "skip"),
        ("2013-02", "run"),
    ]


def test_waiting_can_be_interrupted_and_the_run_goes_on(http: httpx.Client, machine: Machine) -> None:
    command = [
        sys.executable,
        "-m",
        "perennial.cli",
        "trigger",
        "flights",
        "scoring",
        "--partition",
        "2013-01",
        "--wait",
    ]
    waiting = subprocess.Popen(
        command, env=machine.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert waiting.stdout is not None
    started = waiting.stdout.readline().split()[1]
    waiting.send_signal(signal.SIGINT)
    _, output = waiting.communicate(timeout=60)
    assert waiting.returncode == 130
    assert f"The run continues: {machine.airflow}/dags/flights.scoring/runs/" in output
    assert "Traceback" not in output
    assert wait_for(http, "flights.scoring", started) == "success"


def test_a_run_that_was_waited_for_is_reported_as_json(machine: Machine) -> None:
    done = machine.perennial("trigger", "flights", "scoring", "--partition", "2013-01", "--wait", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["state"] == "success"
    assert "usually takes" in done.stderr, "there are runs before it"
    planned = machine.perennial("trigger", "flights", "scoring", "--partition", "2013-01", "--dry-run", "--json")
    assert json.loads(planned.stdout)["airflow"] == "ready"


def test_a_person_may_refuse_what_the_gate_would_promote(http: httpx.Client, machine: Machine) -> None:
    training = trigger(http, "flights.training", "asked", require_approval="always", max_iter=20, window_end="2013-01")
    assert training.status_code == 200
    approval = "/dags/flights.training/dagRuns/asked/taskInstances/approve"
    deadline = time.monotonic() + PATIENCE
    # Answered the moment it is asked, sooner than a person could, before the asking process has ended.
    while http.get(approval).json()["state"] != "awaiting_input":
        assert time.monotonic() < deadline, http.get(approval).json()
        time.sleep(0.05)
    request = http.get(f"{approval}/-1/hitlDetails").json()
    assert "beats the baseline model" in request["body"]
    assert "| smoke test in a fresh process | 1 | 1 | passed" in request["body"]
    response = http.patch(f"{approval}/-1/hitlDetails", json={"chosen_options": ["Reject"], "params_input": {}})
    assert response.status_code == 200
    assert wait_for(http, "flights.training", "asked") == "success"
    assert http.get(approval).json()["try_number"] == 1, "an answer is taken once, and nobody is asked again"
    state = json.loads(machine.perennial("status", "flights", "--json").stdout)
    assert state["champion"] is None
    (row,) = state["partitions"]
    assert row["done"].startswith("rejected v2")


def test_two_partitions_ask_for_the_first_model(http: httpx.Client) -> None:
    pass_through(http, "2013-02")
    assert follow(http, "flights.training", "2013-02") == "success"


def test_a_retraining_on_demand(http: httpx.Client, machine: Machine) -> None:
    assert trigger(http, "flights.training", "by-hand", max_iter=20, force=True).status_code == 200
    assert wait_for(http, "flights.training", "by-hand") == "success"
    state = json.loads(machine.perennial("status", "flights", "--json").stdout)
    assert state["champion"] is not None
    rows = {row["partition"]: row for row in state["partitions"]}
    assert rows["2013-01"]["rows"] > 25_000
    assert "first model v4" in rows["2013-02"]["done"]


def test_other_users_can_read_nothing_in_the_home(machine: Machine) -> None:
    open_to_others = [
        str(path)
        for path in (machine.home, *machine.home.rglob("*"))
        if not path.is_symlink() and _mode(path) & 0o077 and not path.is_socket()
    ]
    assert open_to_others == []
    if os.geteuid() == 0:
        assert as_nobody(lambda: readable_below(machine.home)) == "[]"


def _mode(path: Path) -> int:
    with suppress(FileNotFoundError):  # PostgreSQL and Airflow delete files all the time.
        return path.lstat().st_mode
    return 0


def test_rollback_and_resume_are_one_call_each(http: httpx.Client, machine: Machine) -> None:
    def history() -> dict[str, Any]:
        shown: dict[str, Any] = json.loads(machine.perennial("history", "flights", "--json").stdout)
        return shown

    good = history()["served"][-1]["version"]
    # What the gate would hardly do: the version that was refused is promoted.
    code = (
        "from perennial import discovery; from perennial.registry import ledger; flights = discovery.load('flights');"
        "held = vars(ledger.champion(flights)) | {'event_id': 'test', 'model_version': 1, 'action': 'promoted'};"
        "del held['recorded_at']; ledger.record(flights, **held)"
    )
    subprocess.run([sys.executable, "-c", code], env=machine.environment, check=True, timeout=PATIENCE)
    assert trigger(http, "flights.champion", "no-reason").status_code == 400
    assert trigger(http, "flights.champion", "undo", reason="wrong at night", pause="7d").status_code == 200
    assert wait_for(http, "flights.champion", "undo") == "success"
    shown = history()
    assert (shown["served"][-1]["version"], shown["served"][-1]["how"]) == (good, "rolled-back")
    assert (shown["pause"]["by"], shown["pause"]["reason"]) == (machine.login[0], "wrong at night")
    refused = machine.perennial("rollback", "flights", "--to", str(good), "--reason", "again")
    assert (refused.returncode, "serves already" in refused.stderr) == (2, True)
    resumed = machine.perennial("resume", "flights", "--reason", "mended", "--wait")
    assert resumed.returncode == 0, resumed.stderr
    assert history()["pause"] is None


def test_params_out_of_range_are_refused(http: httpx.Client) -> None:
    response = trigger(http, "flights.training", "wrong", max_iter=-5)
    assert response.status_code == 400
    assert "max_iter" in response.json()["detail"]


def test_an_unknown_partition_fails_with_a_clear_error(http: httpx.Client, machine: Machine) -> None:
    failed = machine.perennial("trigger", "flights", "features", "--partition", "2012-12")
    assert failed.returncode == 2
    assert "no partition '2012-12'" in failed.stderr


def test_six_changes_at_once_break_nothing(http: httpx.Client) -> None:
    def change(number: int) -> list[int]:
        run = f"/dags/flights.features/dagRuns/at-once-{number}"
        return [
            trigger(http, "flights.features", f"at-once-{number}", "2013-01").status_code,
            http.post("/variables", json={"key": f"k{number}", "value": "1"}).status_code,
            http.get("/dags").status_code,
            http.patch(run, json={"note": "one of six"}).status_code,
            http.get("/monitor/health").status_code,
            http.delete(run).status_code,
            http.delete(f"/variables/k{number}").status_code,
        ]

    # Paused: six runs are made and changed, none has to be waited for.
    assert http.patch("/dags/flights.features", json={"is_paused": True}).status_code == 200
    with ThreadPoolExecutor(6) as pool:
        codes = [code for batch in pool.map(change, range(6)) for code in batch]
    assert http.patch("/dags/flights.features", json={"is_paused": False}).status_code == 200
    assert max(codes) < 300, codes
    assert trigger(http, "flights.scoring", "after-six", "2013-01").status_code == 200
    assert wait_for(http, "flights.scoring", "after-six") == "success", "the scheduler still works"


def test_replay_passes_over_what_is_done(machine: Machine) -> None:
    began = time.monotonic()
    done = machine.perennial("replay", "flights", "--from", "2013-01", "--to", "2013-02")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("already done") == 2
    assert "2013-02" in done.stdout
    assert time.monotonic() - began < 60


def test_the_prediction_server_follows_the_ledger(machine: Machine, http: httpx.Client) -> None:
    address = f"http://127.0.0.1:{machine.environment['PERENNIAL_SERVING_PORT']}"
    deadline = time.monotonic() + PATIENCE
    while (state := httpx.get(f"{address}/ready", timeout=60).json())["use_cases"]["flights"]["problem"]:
        assert time.monotonic() < deadline, state
        time.sleep(0.5)
    served = state["use_cases"]["flights"]["model_version"]
    status = json.loads(machine.perennial("status", "flights", "--json").stdout)
    assert served == status["champion"]
    # Who may read the use case in Airflow may ask; what is asked here has no fields.
    asked = {"json": {"examples": [{}]}, "headers": {"Authorization": http.headers["Authorization"]}, "timeout": 60}
    answer = httpx.post(f"{address}/v1/use_cases/flights/predict", **asked)
    assert answer.status_code == (422 if served else 503), answer.text
    assert httpx.post(f"{address}/v1/use_cases/flights/predict", json={}, timeout=60).status_code == 401
    examined = machine.perennial("doctor").stdout
    assert f"Prediction server: answers at {address}" in examined
    assert f"Served flights: {f'v{served}, as the ledger says' if served else 'nothing yet'}" in examined


def test_nobody_gets_in_without_the_login(machine: Machine) -> None:
    assert httpx.get(f"{machine.airflow}/api/v2/dags", timeout=60).status_code == 401
    assert httpx.get(f"{machine.mlflow}/api/2.0/mlflow/experiments/get?experiment_id=0", timeout=60).status_code == 401
    response = httpx.get(
        f"{machine.mlflow}/api/2.0/mlflow/experiments/get?experiment_id=0", auth=machine.login, timeout=60
    )
    assert response.status_code == 200


def test_nothing_listens_beyond_loopback(machine: Machine) -> None:
    for name, pid in machine.pids().items():
        for process in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):  # Airflow starts a process for each DAG file, and each task.
                listening = [it.laddr.ip for it in process.net_connections("inet") if it.status == psutil.CONN_LISTEN]
                assert set(listening) <= {"127.0.0.1"}, name


def test_a_killed_part_is_started_again_and_the_others_kept(machine: Machine) -> None:
    before = machine.pids()
    psutil.Process(before["triggerer"]).kill()
    examined = machine.perennial("doctor")
    assert examined.returncode == 1
    assert "Airflow: triggerer ended, the others run" in examined.stdout
    again = machine.perennial("up")
    assert again.returncode == 0, again.stdout + again.stderr
    after = machine.pids()
    assert {name for name in PARTS if before[name] != after[name]} == {"triggerer"}


def test_down_leaves_nothing(machine: Machine) -> None:
    leaders = set(machine.pids().values())
    foreseen = machine.perennial("down", "--dry-run", "--json")
    assert set(json.loads(foreseen.stdout)["would_stop"]) == {*PARTS, "postgresql"}
    assert set(machine.pids().values()) == leaders
    assert machine.perennial("down").returncode == 0
    left = [process for process in psutil.process_iter() if _session(process) in leaders]
    assert not left
    assert "Nothing was running" in machine.perennial("down").stdout


def _session(process: psutil.Process) -> int:
    try:
        return os.getsid(process.pid) if process.status() != psutil.STATUS_ZOMBIE else 0
    except (ProcessLookupError, psutil.NoSuchProcess):
        return 0
