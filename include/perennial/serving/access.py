"""Who may ask the prediction server what: by a service token, or by the token of a login to Airflow."""

from __future__ import annotations

import base64
import hashlib
import threading
import time
from urllib.parse import quote

import httpx
import msgspec

from perennial.dag_names import SCORING, dag_id
from perennial.errors import ServiceUnavailable
from perennial.services import listeners
from perennial.serving import tokens
from perennial.settings import settings

#: For how long Airflow's answer about a token is remembered, in seconds: so late its end is noticed.
_REMEMBERED = 30.0
_MOST_REMEMBERED = 1024
_LONGEST_USER = 128


class AccessDenied(Exception):
    """A caller may not do that.

    Args:
        status: 401: nobody is known by this token; 403: this caller may not.
        reason: For the caller.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class AccessControl:
    """Decides on callers by the header `Authorization`; used from several threads.

    A token of Airflow is shown to Airflow, which decides as it does on the use case's pages: who may read the use
    case's scoring pipeline may ask for predictions.
    """

    def __init__(self) -> None:
        self._http = httpx.Client(base_url=settings().airflow_uri, timeout=10)
        self._remembered: dict[tuple[str, str | None], tuple[float, int]] = {}
        self._lock = threading.Lock()

    def check(self, authorization: str, use_case: str | None) -> str:
        """Let a caller pass.

        Args:
            authorization: The header; empty: there is none.
            use_case: What it asks; None: nothing of a single use case.

        Returns:
            Who it is: `token:<name>` of a service token, `airflow:<user>` of a login to Airflow.

        Raises:
            AccessDenied: it may not.
            ServiceUnavailable: Airflow, whose token it shows, does not answer.
        """
        secret = _bearer(authorization)
        if not secret:
            raise AccessDenied(401, "Send a token: Authorization: Bearer ... (`perennial token create` makes one).")
        if secret.startswith(tokens.PREFIX):
            return f"token:{self._check_service_token(secret, use_case)}"
        self._check_airflow_token(secret, use_case)
        return f"airflow:{_user(secret)}"

    def takes_long(self, authorization: str) -> bool:
        """Whether Airflow may be asked about a caller: wait for it in another thread."""
        secret = _bearer(authorization)
        return bool(secret) and not secret.startswith(tokens.PREFIX)

    def _check_service_token(self, secret: str, use_case: str | None) -> str:
        token = tokens.find(secret)
        if token is None:
            raise AccessDenied(401, "This token is unknown, revoked or expired.")
        if use_case is None and token.use_cases is not None:
            raise AccessDenied(403, "This token is for some use cases only.")
        if use_case is not None and not token.may_ask(use_case):
            raise AccessDenied(403, f"This token is not for use case {use_case!r}.")
        return token.name

    def _check_airflow_token(self, secret: str, use_case: str | None) -> None:
        status = self._answer_of_airflow(secret, use_case)
        if status in (401, 422):
            raise AccessDenied(401, "Airflow does not accept this token.")
        if status in (403, 404):
            raise AccessDenied(403, f"Airflow does not let you read use case {use_case!r}.")
        if status != 200:
            raise ServiceUnavailable(f"Airflow answered {status} about the token.", "Use a service token.")

    def _answer_of_airflow(self, secret: str, use_case: str | None) -> int:
        key, now = (hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest(), use_case), time.monotonic()
        with self._lock:
            until, status = self._remembered.get(key, (0.0, 0))
        if now < until:
            return status
        # Quoted: the name is the caller's.
        path = f"/api/v2/dags/{quote(dag_id(use_case, SCORING), safe='')}" if use_case else "/api/v2/dags?limit=1"
        listeners.check_ours(settings().airflow_uri)
        try:
            status = self._http.get(path, headers={"Authorization": f"Bearer {secret}"}).status_code
        except (httpx.HTTPError, UnicodeError) as error:
            raise ServiceUnavailable(
                f"Airflow does not answer about the token: {type(error).__name__}: {error}", "Use a service token."
            ) from error
        with self._lock:
            if len(self._remembered) >= _MOST_REMEMBERED:
                self._remembered.clear()
            self._remembered[key] = (now + _REMEMBERED, status)
        return status


def _bearer(authorization: str) -> str:
    """The token in the header; empty: there is none.

    Tools that know only a user and a password show a service token as the password.
    """
    kind, _, secret = authorization.partition(" ")
    if kind.lower() == "basic":
        try:
            password = base64.b64decode(secret.strip(), validate=True).decode().partition(":")[2]
        except ValueError:
            return ""
        return password if password.startswith(tokens.PREFIX) else ""
    return secret.strip() if kind.lower() == "bearer" else ""


def _user(secret: str) -> str:
    """Whose token of Airflow it is; Airflow has accepted it. Not every auth manager's says so."""
    try:
        claims = secret.split(".")[1]
        subject = msgspec.json.decode(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["sub"]
    except (ValueError, LookupError, TypeError):
        return "unknown"
    return str(subject)[:_LONGEST_USER]
