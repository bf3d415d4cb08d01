"""The second half of the smoke test: the prediction server that runs loads the challenger, and predicts the same.

Only after the fresh process, which keeps what a model does to whoever loads it away from the server. A server that is
not there, is busy, or does not know us says nothing about the model.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import httpx
import msgspec
import numpy as np

from perennial.errors import PerennialError
from perennial.gate import smoke
from perennial.services import listeners
from perennial.serving import requests, tokens
from perennial.serving.answers import VersionCheck
from perennial.settings import settings
from perennial.use_case import UseCase

#: Seconds that the server may take: it loads the version within a few.
_PATIENCE = 60.0
#: For how long a token of our own is valid, should this process be killed.
_LONGEST = timedelta(minutes=10)


@dataclass(frozen=True)
class ServerResult:
    """What the prediction server said about a version.

    Attributes:
        is_asked: A server answered the question; else nothing is known.
        passed: It loaded the version, and predicted the same as this process.
        note: What went wrong, what was compared, or why there is no answer.
    """

    is_asked: bool
    passed: bool
    note: str


def ask(use_case: UseCase, version: int, ours: np.ndarray) -> ServerResult:
    """Ask the prediction server at PERENNIAL_SERVING_URI, if one answers there, to load a registered version.

    Args:
        use_case: Whose version.
        version: The version.
        ours: (n,) or (n, K) what this process predicts of the rows that training stored with it.
    """
    address = settings().serving_uri
    if address == "none":
        return _not_asked("PERENNIAL_SERVING_URI names none")
    if settings().serving_token is None and not tokens.path().exists():
        # In another container for instance: it would know no token of this home, whose folder is gone with it.
        return _not_asked(f"{address} is no server of this home, and PERENNIAL_SERVING_TOKEN is not set")
    try:
        listeners.check_ours(address)
        with httpx.Client(base_url=address, timeout=_PATIENCE) as server:
            server.get("/health")  # No token is made where nobody would look at it.
            with tokens.ours("smoke-test", use_case.name, _LONGEST, may_pin=True) as secret:
                headers = {"Authorization": f"Bearer {secret}"}
                response = server.post(requests.check_path(use_case.name, version), headers=headers)
        told = response.json()
        if response.status_code == httpx.codes.OK:
            told = msgspec.convert(told, VersionCheck)
    except (httpx.HTTPError, PerennialError, msgspec.ValidationError, OSError, ValueError) as error:
        return _not_asked(f"{address} does not answer ({type(error).__name__})")
    if not isinstance(told, VersionCheck):
        why = told.get("message") if isinstance(told, dict) else None
        return _not_asked(f"{address} answered {response.status_code}: {why or response.reason_phrase}")
    if told.problem is not None:
        return ServerResult(True, False, f"{address}: {told.problem}")
    if told.classes != [*use_case.classes]:
        known = ", ".join(told.classes) or "none"
        return _not_asked(f"{address} was started when the classes were others ({known}): restart it")
    if differ := smoke.difference(np.asarray(told.predictions, dtype=float), ours):
        return ServerResult(True, False, f"{address} {differ}")
    return ServerResult(True, True, f"{len(ours)} rows, predicted the same as in this process, by {address}")


def _not_asked(why: str) -> ServerResult:
    return ServerResult(False, False, f"no prediction server was asked: {why}")
