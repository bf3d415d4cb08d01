"""MLflow's login goes to no other server, wherever an experiment says that its artifacts are."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import mlflow
import pytest
import web_server
from mlflow.store.artifact.artifact_repository_registry import (
    get_artifact_repository,
    get_registered_artifact_repositories,
)
from mlflow.store.artifact.http_artifact_repo import HttpArtifactRepository
from sqlalchemy import text

from perennial import discovery
from perennial.errors import PerennialError, ServiceUnavailable
from perennial.registry import artifact_servers, mlflow_api, tracking
from perennial.services import listeners, postgres
from perennial.settings import settings

TRACKING = "https://mlflow.example.com/mlflow"


@pytest.fixture(autouse=True)
def login(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "admin")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "secret")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    yield
    monkeypatch.undo()
    settings.cache_clear()


@pytest.fixture
def other() -> Iterator[web_server.Server]:
    with web_server.serving() as server:
        yield server


def test_without_the_check_the_login_is_sent(other: web_server.Server, tmp_path: Path) -> None:
    """What the tests below would see."""
    (tmp_path / "a.txt").touch()
    repository = HttpArtifactRepository(f"{other.address}/api/2.0/mlflow-artifacts/artifacts/1")
    for use in (repository.list_artifacts, lambda: repository.log_artifact(str(tmp_path / "a.txt"))):
        with pytest.raises(Exception, match="404"):
            use()
    assert [headers["authorization"] for _, headers in other.asked] == ["Basic YWRtaW46c2VjcmV0"] * 2


@pytest.mark.parametrize(
    "place",
    [
        "http://{other}/1",
        "HTTP://{other}/api/2.0/mlflow-artifacts/artifacts/1",
        "http://{tracking}@{other}/1",
        "http://{other}\\@{tracking}/1",
        "mlflow-artifacts://{other}/1",
        "mlflow-artifacts://{other}\\@{tracking}/1",
    ],
)
def test_no_experiment_sends_the_login_elsewhere(mlflow_server: str, other: web_server.Server, place: str) -> None:
    """Of a server that accepts such places, as MLflow did until 3.17; whatever is done with the run's artifacts."""
    flights = discovery.load("flights")
    pipeline = uuid4().hex
    hosts = {"other": other.address.removeprefix("http://"), "tracking": mlflow_server.removeprefix("http://")}
    with tracking.reachable():
        experiment = mlflow.set_experiment(f"flights.{pipeline}").experiment_id
    with postgres.engine("mlflow").begin() as database:
        change = text("UPDATE experiments SET artifact_location = :place WHERE experiment_id = :id")
        database.execute(change, {"place": place.format(**hosts), "id": int(experiment)})
    with tracking.run(flights, pipeline, "somebody", "name") as active:
        run = active.info.run_id
        model = mlflow.initialize_logged_model("model")
        uses: list[Callable[[], object]] = [
            lambda: mlflow.log_text("text", "a.txt"),
            lambda: mlflow.artifacts.load_text(f"runs:/{run}/a.txt"),
            lambda: mlflow.artifacts.list_artifacts(run_id=run),
            lambda: mlflow.artifacts.download_artifacts(model.artifact_location),
            lambda: mlflow.artifacts.download_artifacts(f"models:/{model.model_id}"),
        ]
        for use in uses:
            with pytest.raises(PerennialError, match="neither the login nor anything else was sent"):
                use()
    assert other.asked == []


def test_the_tracking_server_keeps_artifacts_as_ever(mlflow_server: str) -> None:
    flights = discovery.load("flights")
    with tracking.run(flights, "monitoring", "somebody", "name") as active:
        mlflow.log_text("text", "a.txt")
        run = active.info.run_id
    place = f"{mlflow_server}/api/2.0/mlflow-artifacts/artifacts/{active.info.experiment_id}/{run}/artifacts"
    for address in (f"runs:/{run}", place):
        assert mlflow.artifacts.load_text(f"{address}/a.txt") == "text"


@pytest.fixture
def artifact_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERENNIAL_MLFLOW_ARTIFACTS_URI", "https://artifacts.example.com/mlflow")
    settings.cache_clear()


@pytest.mark.parametrize(
    "address",
    [
        "https://mlflow.example.com/x",
        "https://MLflow.example.com:443/x",
        "https://user@mlflow.example.com/x",
        "https://artifacts.example.com/x",
    ],
)
def test_both_servers_get_the_login(address: str, artifact_server: None) -> None:
    artifact_servers.check_server(address, TRACKING)


@pytest.mark.parametrize(
    "address",
    [
        "http://mlflow.example.com/x",
        "https://mlflow.example.com:8443/x",
        "https://mlflow.example.com.evil.example/x",
        "https://evil.example\\@mlflow.example.com/x",
        " https://mlflow.example.com/x",
        "https:mlflow.example.com",
        "https:///x",
        "https://artifacts.example.com:444/x",
        "http://artifacts.example.com:443/x",
    ],
)
def test_no_other_server_gets_it(address: str, artifact_server: None) -> None:
    with pytest.raises(PerennialError, match="PERENNIAL_MLFLOW_ARTIFACTS_URI"):
        artifact_servers.check_server(address, TRACKING)


def uses_ours() -> bool:
    """Whether MLflow uses our classes for each kind of address that its login is sent to."""
    used = get_registered_artifact_repositories()
    return all(used[name].__module__ == artifact_servers.__name__ for name in ("http", "https", "mlflow-artifacts"))


def test_a_tool_that_imports_mlflow_only_is_protected() -> None:
    program = (
        "from mlflow.store.artifact.artifact_repository_registry import get_registered_artifact_repositories as used;"
        "print([used()[name].__module__ for name in ('http', 'https', 'mlflow-artifacts')])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[0] == str([artifact_servers.__name__] * 3), done.stderr


def test_an_installation_without_entry_points_is_protected(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http", "https", "mlflow-artifacts"):
        monkeypatch.setitem(get_registered_artifact_repositories(), name, HttpArtifactRepository)
    assert not uses_ours()
    tracking.client()
    assert uses_ours()


def test_no_other_class_of_mlflow_sends_the_login() -> None:
    """Of a release that has another one, its addresses have to be checked too."""
    used = get_registered_artifact_repositories().items()
    sends = {name for name, each in used if isinstance(each, type) and issubclass(each, HttpArtifactRepository)}
    assert sends == {"http", "https", "mlflow-artifacts"}


@pytest.mark.parametrize(
    "call",
    [tracking.client, mlflow_api.authentication, lambda: artifact_servers.check_server("http://127.0.0.1:5500/x")],
    ids=["client", "calls", "artifacts"],
)
def test_a_task_sends_its_login_to_no_other_account(
    call: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`perennial up` hands the login on in the environment of its processes."""
    monkeypatch.delenv("PERENNIAL_MLFLOW_URI", raising=False)
    monkeypatch.setattr(listeners, "_last_looks", {})
    monkeypatch.setattr(listeners, "_listening", lambda port: [os.geteuid() + 4_711])
    settings.cache_clear()
    with pytest.raises(ServiceUnavailable, match="the login was not sent"):
        call()
    monkeypatch.setenv("PERENNIAL_MLFLOW_URI", "http://127.0.0.1:5501")
    settings.cache_clear()
    mlflow_api.check_listener()  # Whose account runs a server that is not embedded, we do not know.


def test_object_stores_and_folders_are_not_asked_about(tmp_path: Path) -> None:
    for place in ("s3://bucket/prefix", tmp_path.as_uri(), str(tmp_path)):
        assert type(get_artifact_repository(place, TRACKING)).__module__.startswith("mlflow.")
