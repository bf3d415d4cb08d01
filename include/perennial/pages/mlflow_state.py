"""What MLflow holds, as far as it answers in seconds: a page is not to wait for another server.

Asked by MLflow's REST API. Its own client costs the web server ten seconds of imports, and waits as patiently as a task
may: minutes.
"""

from __future__ import annotations

import os
import re
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import quote

import httpx

from perennial.errors import ServiceUnavailable
from perennial.services import credentials
from perennial.settings import settings

#: Seconds: to connect, and for each answer, which may be a report of some megabytes.
_TIMEOUT = httpx.Timeout(5.0, connect=1.5)
_RUN = re.compile(r"/runs/([0-9a-f]{32})\b")
_GONE = frozenset({"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"})


@dataclass(frozen=True)
class Run:
    """An MLflow run; `experiment` is the number of its experiment."""

    id: str
    experiment: str
    tags: dict[str, str]
    params: dict[str, str]
    metrics: dict[str, float]

    def artifact_page(self, path: str) -> str:
        """Where MLflow shows one of its artifacts."""
        return f"{settings().mlflow_public_uri}/#/experiments/{self.experiment}/runs/{self.id}/artifacts/{quote(path)}"


def run_page(run_id: str) -> str:
    """Where MLflow shows a run, wherever it stood when its address was recorded."""
    return f"{settings().mlflow_public_uri}/#/runs/{quote(run_id)}"


def model_page(use_case: str, version: int) -> str:
    """Where MLflow shows a registered version."""
    return f"{settings().mlflow_public_uri}/#/models/{quote(use_case)}/versions/{version}"


def run_named_in(address: str | None) -> str | None:
    """The id of the run that a recorded address is of."""
    found = _RUN.search(address or "")
    return found[1] if found else None


def run(run_id: str) -> Run | None:
    """One run; None if there is none, or it was deleted.

    Raises:
        ServiceUnavailable: MLflow does not answer in time.
    """
    answer = _told("api/2.0/mlflow/runs/get", run_id=run_id)
    found = answer.get("run")
    if found is None or found["info"]["lifecycle_stage"] == "deleted":
        return None
    held = {kind: {each["key"]: each["value"] for each in found["data"].get(kind, ())} for kind in ("tags", "params")}
    metrics = {each["key"]: float(each["value"]) for each in found["data"].get("metrics", ())}
    return Run(run_id, found["info"]["experiment_id"], held["tags"], held["params"], metrics)


def run_of(use_case: str, version: int) -> str | None:
    """The id of the run that made a registered version; None: there is no such version.

    Raises:
        ServiceUnavailable: MLflow does not answer in time.
    """
    answer = _told("api/2.0/mlflow/model-versions/get", name=use_case, version=str(version))
    return answer.get("model_version", {}).get("run_id")


def versions(use_case: str) -> list[int]:
    """All registered versions, oldest first.

    Raises:
        ServiceUnavailable: MLflow does not answer in time.
    """
    answer = _told("api/2.0/mlflow/model-versions/search", filter=f"name='{use_case}'", max_results="1000")
    return sorted(int(each["version"]) for each in answer.get("model_versions", ()))


def artifact(run_id: str, path: str) -> bytes | None:
    """The content of an artifact of a run; None if there is none.

    Raises:
        ServiceUnavailable: MLflow does not answer in time.
    """
    answer = _answer("get-artifact", run_uuid=run_id, path=path)
    return answer.content if answer else None


def documents(run_id: str, names: Iterable[str]) -> dict[str, Any]:
    """The JSON artifacts of a run that are there, of those called `names`.

    Raises:
        ServiceUnavailable: MLflow does not answer in time.
    """
    held = {each["path"] for each in _told("api/2.0/mlflow/artifacts/list", run_id=run_id).get("files", ())}
    there = [name for name in names if name in held]
    with ThreadPoolExecutor(max_workers=4) as threads:
        answers = threads.map(lambda name: _told("get-artifact", run_uuid=run_id, path=name), there)
        return dict(zip(there, answers, strict=True))


def _told(place: str, **query: str) -> dict[str, Any]:
    """The answer to a question, parsed; empty where there is none."""
    answer = _answer(place, **query)
    try:
        return dict(answer.json()) if answer else {}
    except (ValueError, TypeError) as error:
        raise ServiceUnavailable(
            f"{settings().mlflow_uri} answers otherwise than MLflow does.",
            "Set PERENNIAL_MLFLOW_URI to MLflow's address.",
        ) from error


def _answer(place: str, **query: str) -> httpx.Response | None:
    """The answer to a question; None where MLflow says that there is nothing of that name."""
    with _reachable():
        answer = _client(settings().mlflow_uri).get(place, params=query, auth=_login())
        if answer.is_error and _error_code(answer) in _GONE:
            return None
        answer.raise_for_status()
        return answer


def _error_code(answer: httpx.Response) -> str:
    try:
        return str(answer.json().get("error_code", ""))
    except (ValueError, AttributeError):
        return ""


@contextmanager
def _reachable() -> Iterator[None]:
    try:
        yield
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ServiceUnavailable(
            f"MLflow at {settings().mlflow_uri} does not answer: {said}",
            "Start it (`perennial up`), or set PERENNIAL_MLFLOW_URI.",
        ) from error


@cache
def _client(address: str) -> httpx.Client:
    """A client that keeps its connections; proxies are for addresses elsewhere."""
    if not address.startswith(("http://", "https://")):
        raise ServiceUnavailable(
            f"MLflow is at {address}, which no page can ask.", "Set PERENNIAL_MLFLOW_URI to a server's address."
        )
    insecure = os.environ.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() in ("1", "true")
    verify: Any = not insecure
    if certificate := os.environ.get("MLFLOW_TRACKING_SERVER_CERT_PATH"):
        import ssl

        verify = ssl.create_default_context(cafile=certificate)
    return httpx.Client(base_url=address.rstrip("/") + "/", timeout=_TIMEOUT, verify=verify)


def _login() -> httpx.Auth | None:
    """As `registry.tracking` signs in: what the environment names, else the embedded server's generated login."""
    where, given = settings(), os.environ
    if token := given.get("MLFLOW_TRACKING_TOKEN"):
        return _Token(token)
    if user := given.get("MLFLOW_TRACKING_USERNAME"):
        return httpx.BasicAuth(user, given.get("MLFLOW_TRACKING_PASSWORD", ""))
    embedded = where.mlflow_uri == f"http://{where.mlflow_host}:{where.mlflow_port}"
    if embedded and credentials.path().exists():
        access = credentials.login()
        return httpx.BasicAuth(access.user, access.password)
    return None


class _Token(httpx.Auth):
    """A bearer token."""

    def __init__(self, token: str) -> None:
        self.token = token

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["Authorization"] = f"Bearer {self.token}"
        yield request
