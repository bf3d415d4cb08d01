"""Checks of MLflow and Airflow: whether they answer, are of the version installed here, and accept the login."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from perennial.doctor.finding import Finding, failed, not_applicable, passed, warning
from perennial.embedded.status import AIRFLOW_COMPONENTS, embeds_airflow, embeds_mlflow, is_running
from perennial.registry import mlflow_api
from perennial.services import credentials
from perennial.settings import settings

if TYPE_CHECKING:
    import httpx

_PATIENCE = 4.0
_UP = "Start it with `perennial up`."
#: A component whose last heartbeat is older, in seconds, is unhealthy.
_HEARTBEAT_AGE = 120.0


def mlflow() -> Iterator[Finding]:
    """The tracking server, and the store of its artifacts."""
    import httpx

    where = settings()
    embedded = embeds_mlflow(where)
    if embedded and not is_running("mlflow"):
        yield _not_running("MLflow", [name for name in AIRFLOW_COMPONENTS if is_running(name)])
        return
    fix = (
        f"Read {where.home / 'logs' / 'mlflow.log'}, then `perennial up`."
        if embedded
        else "Check PERENNIAL_MLFLOW_URI."
    )
    try:
        with httpx.Client(base_url=where.mlflow_uri, timeout=_PATIENCE, auth=mlflow_api.authentication()) as client:
            health = client.get("/health")
            if health.status_code != 200:
                message = f"{where.mlflow_uri} answers {health.status_code} to /health: not an MLflow server?"
                yield failed("MLflow", message, fix)
                return
            yield _version("MLflow", client.get("/version").text.strip(), version("mlflow"), where.mlflow_uri)
            response = client.get("/api/2.0/mlflow/experiments/search", params={"max_results": 1})
            yield _accepted("MLflow login", response, "Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD.")
            if response.status_code == 200:
                yield _artifacts(client, embedded)
    except httpx.HTTPError as error:
        yield failed("MLflow", f"{where.mlflow_uri} does not answer: {type(error).__name__}: {error}", fix)


def airflow() -> Iterator[Finding]:
    """The API server, and the heartbeats of the other components."""
    import httpx

    where = settings()
    embedded = embeds_airflow(where)
    stopped = [name for name in AIRFLOW_COMPONENTS if not is_running(name)] if embedded else []
    if len(stopped) == len(AIRFLOW_COMPONENTS):
        yield _not_running("Airflow", ["mlflow"] if is_running("mlflow") else [])
        return
    if stopped:
        yield failed("Airflow", f"{', '.join(stopped)} ended, the others run", "`perennial up` starts what is missing.")
        if "api-server" in stopped:
            return
    log = where.home / "logs" / "api-server.log"
    fix = f"Read {log}, then `perennial up`." if embedded else "Check PERENNIAL_AIRFLOW_URI."
    try:
        with httpx.Client(base_url=where.airflow_uri, timeout=_PATIENCE) as client:
            response = client.get("/api/v2/version")
            if response.status_code != 200 or "json" not in response.headers.get("content-type", ""):
                message = f"{where.airflow_uri} answers {response.status_code} to /api/v2/version: not an Airflow?"
                yield failed("Airflow", message, fix)
                return
            yield _version("Airflow", response.json()["version"], version("apache-airflow"), where.airflow_uri)
            yield from _heartbeats(client.get("/api/v2/monitor/health").json())
            if (access := credentials.existing_login()) is None:
                yield failed("Airflow login", "there is none", "Set PERENNIAL_USER and PERENNIAL_PASSWORD.")
                return
            token = client.post("/auth/token", json={"username": access.user, "password": access.password})
            yield _accepted(
                "Airflow login", token, "It may belong to another PERENNIAL_HOME; or set PERENNIAL_USER and _PASSWORD."
            )
    except httpx.HTTPError as error:
        yield failed("Airflow", f"{where.airflow_uri} does not answer: {type(error).__name__}: {error}", fix)


def _not_running(name: str, others: list[str]) -> Finding:
    if others:
        return failed(name, f"does not run, but {', '.join(others)} {'does' if len(others) == 1 else 'do'}", _UP)
    return not_applicable(name, "is not running", _UP)


def _version(name: str, theirs: str, ours: str, address: str) -> Finding:
    if theirs == ours:
        return passed(name, f"{theirs} answers at {address}")
    fix = "Install the same version on both; a client may call what a server of another version does not have."
    return warning(name, f"{theirs} answers at {address}, but here {ours} is installed", fix)


def _accepted(name: str, response: httpx.Response, fix: str) -> Finding:
    if response.status_code < 300:
        return passed(name, "works")
    return failed(name, f"is rejected: {response.status_code}", fix)


def _artifacts(client: httpx.Client, embedded: bool) -> Finding:
    name = "Artifact store"
    if embedded:
        folder = settings().home / "mlflow" / "artifacts"
        existing = next(each for each in (folder, *folder.parents) if each.exists())
        if not os.access(existing, os.W_OK | os.X_OK):
            return failed(name, f"{existing} cannot be written by this user", "Change its owner.")
        return passed(name, f"{folder}, through MLflow")
    response = client.get("/api/2.0/mlflow-artifacts/artifacts", params={"path": ""})
    if response.status_code == 200:
        return passed(name, "answers through MLflow")
    if response.status_code in (404, 503):  # The server does not serve artifacts: clients use the store themselves.
        return not_applicable(name, "this MLflow server leaves it to its clients")
    return failed(name, f"MLflow answers {response.status_code}", "Read the MLflow server's log.")


def _heartbeats(health: dict) -> Iterator[Finding]:
    """A finding about the components without a recent heartbeat, or one that all are healthy."""
    late = []
    for component, state in health.items():
        heartbeat = state.get(f"latest_{component}_heartbeat")
        age = (datetime.now(UTC) - datetime.fromisoformat(heartbeat)).total_seconds() if heartbeat else None
        if state.get("status") != "healthy" or (age is not None and age > _HEARTBEAT_AGE):
            ago = f", last heartbeat {age:.0f} s ago" if age else ""
            late.append(f"{component.replace('_', '-')} {state.get('status')}{ago}")
    if late:
        log = Path(settings().home) / "logs"
        yield failed("Airflow health", "; ".join(late), f"Read the logs in {log}, then `perennial up`.")
    else:
        yield passed("Airflow health", f"{', '.join(component.replace('_', '-') for component in health)} are healthy")
