"""Asks MLflow's REST API: where the server is, how to sign in, how long to wait, and what to say if it does not answer.

MLflow's own client takes seconds to import, more than a web page or a preview has. It is used where models are logged,
registered and loaded (`tracking`), and signs in and fails the same way: see `sign_in_client` and `not_answering`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Generator
from dataclasses import dataclass
from functools import cache
from typing import Any

import httpx
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from perennial.errors import ServiceUnavailable
from perennial.services import credentials, listeners
from perennial.settings import settings

#: MLflow's words for: nothing of that name exists.
_ABSENT = frozenset({"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"})
#: Answers that say to try again.
_TRY_AGAIN = frozenset({408, 429, 500, 502, 503, 504})


@dataclass(frozen=True)
class TimeLimits:
    """How long an answer is waited for.

    Attributes:
        connect: Seconds until the server takes the connection.
        response: Seconds until it has answered; the response may be a report of some megabytes.
        retries: How often a call that was not answered is repeated.
    """

    connect: float
    response: float
    retries: int = 0


#: For who waits at a screen.
PAGE_LIMITS = TimeLimits(connect=1.5, response=5.0)


def task_limits() -> TimeLimits:
    """The time limits of a task. MLflow's own default retries for four minutes; Airflow's retries come on top."""
    seconds = float(os.environ.get("MLFLOW_HTTP_REQUEST_TIMEOUT", "30"))
    return TimeLimits(seconds, seconds, int(os.environ.get("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")))


def get(path: str, limits: TimeLimits, /, **query: str) -> httpx.Response | None:
    """The answer to a GET request.

    Args:
        path: Below the server's address, such as `api/2.0/mlflow/runs/get`.
        limits: How long to wait for it.
        query: The parameters in the address.

    Returns:
        The successful answer; None where MLflow says that nothing of that name exists.

    Raises:
        ServiceUnavailable: MLflow does not answer in time, or refuses the login.
    """
    client = _client(settings().mlflow_uri)
    timeout = httpx.Timeout(limits.response, connect=limits.connect)
    attempts = Retrying(
        stop=stop_after_attempt(limits.retries + 1),
        wait=wait_random_exponential(multiplier=0.5, max=8),
        retry=retry_if_exception_type(_NoAnswer),
        retry_error_callback=_last_result,
    )
    return attempts(_get_once, client, path, timeout, query)


def get_json(path: str, limits: TimeLimits, /, **query: str) -> dict[str, Any]:
    """The answer to a GET request, parsed.

    Args:
        path: Below the server's address.
        limits: How long to wait for it.
        query: The parameters in the address.

    Returns:
        The JSON object; empty where MLflow says that nothing of that name exists.

    Raises:
        ServiceUnavailable: MLflow does not answer in time, refuses the login, or another server answers there.
    """
    response = get(path, limits, **query)
    return parsed(response.content) if response else {}


def parsed(content: bytes) -> dict[str, Any]:
    """An answer of MLflow, or a document that it keeps, as the JSON object that it is.

    Raises:
        ServiceUnavailable: it is none: another server answers there.
    """
    try:
        return dict(json.loads(content))
    except (ValueError, TypeError) as error:
        raise ServiceUnavailable(
            f"The answer of {settings().mlflow_uri} is not one of MLflow's.",
            "Set PERENNIAL_MLFLOW_URI to MLflow's address.",
        ) from error


def authentication() -> httpx.Auth | None:
    """How calls sign in: with the token or login that the environment names, else with the embedded server's login.

    Raises:
        ServiceUnavailable: see `check_listener`.
    """
    check_listener()
    if token := os.environ.get("MLFLOW_TRACKING_TOKEN"):
        return _Token(token)
    if user := os.environ.get("MLFLOW_TRACKING_USERNAME"):
        return httpx.BasicAuth(user, os.environ.get("MLFLOW_TRACKING_PASSWORD", ""))
    generated = _generated_login()
    return httpx.BasicAuth(generated.user, generated.password) if generated else None


def sign_in_client() -> None:
    """Let MLflow's own client sign in as calls do: it takes its login from the environment.

    Raises:
        ServiceUnavailable: see `check_listener`.
    """
    check_listener()
    if "MLFLOW_TRACKING_USERNAME" not in os.environ and (generated := _generated_login()):
        os.environ |= {"MLFLOW_TRACKING_USERNAME": generated.user, "MLFLOW_TRACKING_PASSWORD": generated.password}


def check_listener() -> None:
    """Before a login is sent, also one of the environment: `perennial up` puts the embedded server's there.

    Raises:
        ServiceUnavailable: another account's program listens where the embedded server should.
    """
    if _is_embedded():
        listeners.check_ours(settings().mlflow_uri)


def not_answering(reason: str) -> ServiceUnavailable:
    """The error for a server that does not answer.

    Args:
        reason: What was seen instead of an answer.
    """
    return ServiceUnavailable(
        f"MLflow at {settings().mlflow_uri} does not answer: {reason}",
        "Start it (`perennial up`), or set PERENNIAL_MLFLOW_URI. Then clear the task that failed, if one did: nothing"
        " needs undoing.",
    )


class _NoAnswer(Exception):
    """No answer, or one that says to try again."""


def _get_once(client: httpx.Client, path: str, timeout: httpx.Timeout, query: dict[str, str]) -> httpx.Response | None:
    try:
        response = client.get(path, params=query, auth=authentication(), timeout=timeout)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise _NoAnswer(str(error).partition("\n")[0] or type(error).__name__) from error
    if response.is_success:
        return response
    if response.is_error and _error_code(response) in _ABSENT:
        return None
    if response.status_code in (401, 403):
        raise ServiceUnavailable(
            f"MLflow at {settings().mlflow_uri} refuses the login ({response.status_code}).",
            "Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN.",
        )
    reason = f"it answered {response.status_code} to {path}"
    raise _NoAnswer(reason) if response.status_code in _TRY_AGAIN else not_answering(reason)


def _last_result(state: RetryCallState) -> None:
    """After the last attempt."""
    error = state.outcome.exception() if state.outcome else None
    raise not_answering(str(error)) from error


def _error_code(response: httpx.Response) -> str:
    try:
        return str(response.json().get("error_code", ""))
    except (ValueError, AttributeError):
        return ""


@cache
def _client(address: str) -> httpx.Client:
    """A client that keeps its connections; proxies are for addresses elsewhere."""
    if not address.startswith(("http://", "https://")):
        raise ServiceUnavailable(
            f"MLflow is at {address}, which is not the address of a server.",
            "Set PERENNIAL_MLFLOW_URI to one that starts with http:// or https://.",
        )
    insecure = os.environ.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() in ("1", "true")
    verify: Any = not insecure
    if certificate := os.environ.get("MLFLOW_TRACKING_SERVER_CERT_PATH"):
        import ssl

        verify = ssl.create_default_context(cafile=certificate)
    return httpx.Client(base_url=address.rstrip("/") + "/", verify=verify)


def _is_embedded() -> bool:
    where = settings()
    return where.mlflow_uri == f"http://{where.mlflow_host}:{where.mlflow_port}"


def _generated_login() -> credentials.Login | None:
    """The login that `perennial up` made, where the server is the embedded one."""
    return credentials.existing_login() if _is_embedded() else None


class _Token(httpx.Auth):
    """A bearer token."""

    def __init__(self, token: str) -> None:
        self.token = token

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["Authorization"] = f"Bearer {self.token}"
        yield request
