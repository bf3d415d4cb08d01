"""`docker-compose.yaml` without Docker: its own commands, environments and health checks, as processes of this machine.

Debian's PostgreSQL and Redis stand for their images, moto for the object store. One set-up serves all tests that need
it, in order: what an earlier one has done is there for the later ones.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import boto3
import httpx
import psutil
import psycopg2
import pytest
import yaml
from airflow_runs import PATIENCE, follow, trigger, wait_for
from compose_file import Unset, read
from composition import BUILT, PROJECT, Composition, Stand, session
from redis import Redis
from redis.exceptions import AuthenticationError
from stands import object_store, postgres, redis

pytestmark = [pytest.mark.services, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "docker-compose.yaml"
SECOND = ROOT / "tests/second_use_case"
DAYS = ("2024-01-01", "2024-01-02", "2024-01-03", "2024-01-04")
LISTENS = {
    "postgres": 5432,
    "redis": 6379,
    "object-store": 9000,
    "mlflow": 5000,
    "airflow-api-server": 8080,
    "airflow-scheduler": 8974,
    "serving": 8090,
}


def variables() -> dict[str, str]:
    """Each name of `.env.example` with a secret of its own, as its comments ask for."""
    names = [line.partition("=")[0] for line in (ROOT / ".env.example").read_text().splitlines() if "=" in line[:40]]
    made = {name: secrets.token_hex(64) for name in names if name.isupper()}
    return made | {"AIRFLOW_FERNET_KEY": base64.urlsafe_b64encode(os.urandom(32)).decode()}


@pytest.fixture(scope="module")
def team() -> Iterator[Composition]:
    """The whole set-up, healthy; with the second use case, one folder and one file, as a team adds one."""
    folder = Path(tempfile.mkdtemp(prefix="perennial-team-"))
    folder.chmod(0o755)  # PostgreSQL runs as a user of its own.
    env = variables()
    checkout = folder / "checkout"
    ignored = shutil.ignore_patterns(".git", ".venv", ".perennial", ".*_cache", ".hypothesis", "tests")
    shutil.copytree(ROOT, checkout, ignore=ignored)
    shutil.copytree(SECOND / "use_cases/energy", checkout / "include/use_cases/energy")
    shutil.copy(SECOND / "feature_repo/energy.py", checkout / "feature_repo")
    running = Composition(read(COMPOSE, env), folder, checkout, LISTENS)
    running.stands |= {"postgres": postgres(running), "redis": redis(running), "object-store": object_store()}
    # In a container the folder is installed, and the port is always free.
    health_port = str(running.free["airflow-scheduler"])
    for service in running.services.values():
        if service.image == BUILT:
            path = f"{service.environment['PYTHONPATH']}:{PROJECT}/include"
            more = {"PYTHONPATH": path, "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_SERVER_PORT": health_port}
            if service.name == "serving":
                more |= {
                    "PERENNIAL_SERVING_HOST": "127.0.0.1",
                    "PERENNIAL_SERVING_PORT": str(running.free["serving"]),
                }
            running.stands[service.name] = Stand(more)
    try:
        running.up()
        yield running
    finally:
        running.down()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def http(team: Composition) -> Iterator[httpx.Client]:
    """A plain HTTP client of Airflow's REST API, with a token got as the README shows it."""
    address = f"http://{team.address('airflow-api-server')}"
    password = secret(team, "PERENNIAL_PASSWORD")
    response = httpx.post(f"{address}/auth/token", json={"username": "admin", "password": password}, timeout=60)
    assert response.status_code == 201
    headers = {"Authorization": f"Bearer {response.json()['access_token']}"}
    with httpx.Client(base_url=f"{address}/api/v2", headers=headers, timeout=60) as client:
        yield client


def test_compose_reads_the_file_as_we_do() -> None:
    env = variables()
    done = docker_compose("config", env)
    assert done.returncode == 0, done.stderr
    services = yaml.safe_load(done.stdout)["services"]
    for name, service in read(COMPOSE, env).items():
        # It prints `$` as it stands in such a file.
        command = [word.replace("$", "$$") for word in service.command]
        assert services[name]["command"] == command
        assert services[name].get("environment", {}) == {key: str(value) for key, value in service.environment.items()}
        assert {other: condition["condition"] for other, condition in services[name].get("depends_on", {}).items()} == (
            service.depends_on
        )
    assert set(services) == set(read(COMPOSE, env))


@pytest.mark.parametrize("missing", [*variables(), None])
def test_it_refuses_to_start_without_each_secret(missing: str | None) -> None:
    env = {name: value for name, value in variables().items() if missing and name != missing}
    with pytest.raises(Unset, match=missing):
        read(COMPOSE, env)


def test_compose_without_secrets_fails_and_says_where_to_set() -> None:
    done = docker_compose("config", {})
    assert done.returncode != 0
    assert ".env.example" in done.stderr


def test_ports_are_published_on_loopback_only() -> None:
    published = [port for service in read(COMPOSE, variables()).values() for port in service.ports]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


def docker_compose(command: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Compose itself, which reads the file without an engine; the names come from its environment or not at all."""
    program = shutil.which("docker-compose")
    assert program, "docker-compose is missing: apt-get install docker-compose"
    with tempfile.NamedTemporaryFile() as nothing:
        words = [program, "--env-file", nothing.name, "-f", str(COMPOSE), command]
        return subprocess.run(
            words, env={"PATH": os.environ["PATH"], **env}, capture_output=True, text=True, timeout=60
        )


def test_three_days_pass_through_and_make_a_champion(team: Composition, http: httpx.Client) -> None:
    wait_for_dags(http)
    for day in DAYS[:3]:
        assert trigger(http, "energy.features", f"day-{day}", day).status_code == 200
    for day in DAYS[:3]:
        passes_through(http, day)
    assert wait_for(http, "energy.training", requested_run(http)) == "success", log_text(http, "energy.training")
    alias = httpx.get(
        f"http://{team.address('mlflow')}/api/2.0/mlflow/registered-models/alias",
        params={"name": "energy", "alias": "champion"},
        auth=("admin", secret(team, "PERENNIAL_PASSWORD")),
        timeout=60,
    )
    assert alias.json()["model_version"]["version"] == "1", alias.text


def test_the_champion_scores_the_next_day(http: httpx.Client) -> None:
    assert trigger(http, "energy.features", f"day-{DAYS[3]}", DAYS[3]).status_code == 200
    passes_through(http, DAYS[3])


def test_the_command_line_works_in_a_container(team: Composition) -> None:
    state = json.loads(team.run("airflow-scheduler", "perennial", "status", "energy", "--json"))
    assert [row["partition"] for row in state["partitions"]] == list(DAYS)
    assert state["partitions"][-1]["champion"] == state["champion"] == 1


def test_lake_training_sets_artifacts_are_in_object_store(team: Composition) -> None:
    objects = boto3.client(
        "s3",
        endpoint_url=f"http://{team.address('object-store')}",
        region_name="us-east-1",
        aws_access_key_id="perennial",
        aws_secret_access_key=secret(team, "AWS_SECRET_ACCESS_KEY"),
    )
    pages = objects.get_paginator("list_objects_v2").paginate(Bucket="perennial")
    keys = [item["Key"] for page in pages for item in page["Contents"]]
    for begins, ends in (
        ("lake/energy/readings/", ".parquet"),
        ("lake/energy/predictions/", ".parquet"),
        ("training_sets/energy/", ".parquet"),
        ("mlflow/", ".skops"),
    ):
        assert [key for key in keys if key.startswith(begins) and key.endswith(ends)], (begins, keys)


def test_the_newest_values_are_in_redis(team: Composition) -> None:
    ask = (
        "import json; from datetime import UTC, datetime; from perennial.feature_store import repository; "
        "keys, at = [{'site': 'site-1', 'meter': 'meter-1'}], datetime(2024, 1, 1, tzinfo=UTC); "
        "print(json.dumps(repository.online_features('energy', keys, at=at)))"
    )
    (row,) = json.loads(team.run("airflow-worker", "python", "-c", ask).splitlines()[-1])
    assert 0 < row["meter_mean_24h"] < 2, "the meter's mean is 1"
    password = secret(team, "REDIS_PASSWORD", "redis")
    with Redis(port=team.free["redis"], password=password, db=1) as store:
        assert store.dbsize() == 12, "a hash for each meter"


def test_the_champion_answers_requests(team: Composition) -> None:
    token = team.run("serving", "perennial", "token", "create", "checkout", "--use-case", "energy").splitlines()[0]
    example = {"site": "site-1", "meter": "meter-1", "hour_sin": 0.0, "hour_cos": 1.0}
    answer = httpx.post(
        f"http://{team.address('serving')}/v1/use_cases/energy/predict",
        json={"examples": [example], "at": f"{DAYS[3]}T23:00:00Z", "features": True},
        headers={"Authorization": f"Bearer {token}"},
        timeout=60,
    )
    assert answer.status_code == 200, answer.text + team.log("serving")
    assert answer.json()["model_version"] == 1
    (prediction,) = answer.json()["predictions"]
    assert 0 < prediction["features"]["meter_mean_24h"] < 2, "the meter's mean is 1"


def test_every_task_ran_on_the_worker(team: Composition) -> None:
    with query(team, "airflow") as cursor:
        cursor.execute("SELECT status, count(*) FROM celery_taskmeta GROUP BY status")
        by_celery = dict(cursor.fetchall())
        cursor.execute("SELECT count(*) FROM task_instance WHERE state = 'success' AND operator <> 'HITLOperator'")
        ((succeeded,),) = cursor.fetchall()
        cursor.execute("SELECT count(*) FROM task_instance WHERE try_number > 1")
        assert cursor.fetchall() == [(0,)], "no task needed a second attempt"
    assert set(by_celery) == {"SUCCESS"}
    assert by_celery["SUCCESS"] >= succeeded > 15


def test_a_tasks_log_reaches_the_page(http: httpx.Client) -> None:
    log = http.get(f"/dags/energy.features/dagRuns/day-{DAYS[0]}/taskInstances/ingest/logs/1")
    assert "288 rows loaded" in log.text


def test_the_pages_read_the_object_store(http: httpx.Client, team: Composition) -> None:
    pages = f"http://{team.address('airflow-api-server')}/perennial"
    fleet = httpx.get(f"{pages}/", headers=http.headers, timeout=120)
    assert fleet.status_code == 200
    assert 'href="/perennial/use_cases/energy/versions/1"' in fleet.text
    partition = httpx.get(f"{pages}/use_cases/energy/partitions/{DAYS[-1]}", headers=http.headers, timeout=120)
    assert partition.status_code == 200
    assert "288" in partition.text


def test_nothing_is_kept_in_a_container(team: Composition) -> None:
    """What is not in a volume would be gone with the container, and is not seen by the other containers."""
    homes = [home for home in (team.folder / "containers").glob("*/.perennial") if not home.is_symlink()]
    assert not [file for home in homes for file in home.glob("**/*")]


def test_init_again_changes_nothing(team: Composition, http: httpx.Client) -> None:
    team.run("init", *team.services["init"].command)
    assert http.get("/dags/energy.features/dagRuns").json()["total_entries"] == len(DAYS)


def test_nobody_gets_in_without_a_secret(team: Composition) -> None:
    airflow, mlflow = (f"http://{team.address(name)}" for name in ("airflow-api-server", "mlflow"))
    assert httpx.get(f"{airflow}/api/v2/dags", timeout=60).status_code == 401
    assert httpx.get(f"{mlflow}/api/2.0/mlflow/experiments/get?experiment_id=0", timeout=60).status_code == 401
    with Redis(port=team.free["redis"]) as store, pytest.raises(AuthenticationError):
        store.ping()
    with pytest.raises(psycopg2.OperationalError, match="password"):
        psycopg2.connect(host="127.0.0.1", port=team.free["postgres"], user="perennial", dbname="airflow")


def test_down_leaves_nothing(team: Composition) -> None:
    leaders = team.leaders()
    assert len(leaders) == len(team.services)
    assert any(session(process) in leaders for process in psutil.process_iter())
    team.down()
    assert not [process for process in psutil.process_iter() if session(process) in leaders]


def secret(team: Composition, name: str, service: str = "init") -> str:
    return team.services[service].environment[name]


@contextmanager
def query(team: Composition, database: str) -> Iterator[Any]:
    password = secret(team, "POSTGRES_PASSWORD", "postgres")
    connection = psycopg2.connect(
        host="127.0.0.1", port=team.free["postgres"], user="perennial", password=password, dbname=database
    )
    with closing(connection), connection.cursor() as cursor:
        yield cursor


def passes_through(http: httpx.Client, day: str) -> None:
    assert wait_for(http, "energy.features", f"day-{day}") == "success", log_text(http, "energy.features")
    assert follow(http, "energy.scoring", day) == "success", log_text(http, "energy.scoring")
    assert follow(http, "energy.monitoring", day) == "success", log_text(http, "energy.monitoring")


def requested_run(http: httpx.Client) -> str:
    """The run that trains the first model: whichever day's monitoring saw three days first has asked for it."""
    deadline = time.monotonic() + PATIENCE
    while not (runs := http.get("/dags/energy.training/dagRuns").json()["dag_runs"]):
        assert time.monotonic() < deadline, "nobody asked for a first model"
        time.sleep(0.5)
    return str(runs[0]["dag_run_id"])


def log_text(http: httpx.Client, dag: str) -> str:
    """The logs of a DAG's failed tasks, for a failed test."""
    lines = []
    for run in http.get(f"/dags/{dag}/dagRuns").json()["dag_runs"]:
        place = f"/dags/{dag}/dagRuns/{run['dag_run_id']}/taskInstances"
        for task in http.get(place).json()["task_instances"]:
            if task["state"] == "failed":
                lines.append(http.get(f"{place}/{task['task_id']}/logs/{task['try_number']}").text)
    return "\n".join(lines)


def wait_for_dags(http: httpx.Client) -> None:
    deadline = time.monotonic() + PATIENCE
    while http.get("/dags", params={"dag_id_prefix_pattern": "energy."}).json()["total_entries"] < 4:
        assert time.monotonic() < deadline, http.get("/importErrors").json()
        time.sleep(0.5)
