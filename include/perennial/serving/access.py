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
from perennial.serving.rate_limits import RateLimits
from perennial.settings import settings

#: For how long Airflow's answer about a token is remembered, in seconds: so late its end is noticed.
_REMEMBERED = 30.0
_MOST_REMEMBERED = 1024
_LONGEST_USER = 128
#: The days of a backfill that is none.
_NEVER = {"from_date": "2000-01-02T00:00:00Z", "to_date": "2000-01-01T00:00:00Z"}


class AccessDenied(Exception):
    """A caller may not do that.

    Args:
        status: 401: nobody is known by this token; 403: this caller may not; 429: not so often.
        reason: For the caller.
        retry_after: After how many seconds it may; None: never, or not known.
    """

    def __init__(self, status: int, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.retry_after = retry_after


class AccessControl:
    """Decides on callers by the header `Authorization`; used from several threads.

    A token of Airflow is shown to Airflow, which decides as it does on the use case's pages: who may read the use
    case's scoring pipeline may ask for predictions.

    Args:
        rates: The buckets of the server's tokens; None: this object has its own.
    """

    def __init__(self, rates: RateLimits | None = None) -> None:
        self._http = httpx.Client(base_url=settings().airflow_uri, timeout=10)
        self._remembered: dict[tuple[str, str | None, bool], tuple[float, int]] = {}
        self._lock = threading.Lock()
        self._rates = rates or RateLimits()

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

    def check_rate(self, authorization: str) -> None:
        """Count a request of a caller that `check` let pass.

        Args:
            authorization: The header.

        Raises:
            AccessDenied: it asks more often than its token may.
        """
        token = tokens.find(secret) if (secret := _bearer(authorization)).startswith(tokens.PREFIX) else None
        if token is not None and (wait := self._rates.take(token)):
            raise AccessDenied(429, f"Token {token.name!r} may ask {token.rate} only.", wait)

    def check_may_pin(self, authorization: str, use_case: str) -> None:
        """Let a caller that `check` let pass ask for another version than the one that serves.

        Of a person it is required that Airflow lets her start the use case's scoring pipeline.

        Args:
            authorization: The header.
            use_case: Whose version it asks for.

        Raises:
            AccessDenied: it may not.
            ServiceUnavailable: Airflow, whose token it shows, does not answer.
        """
        if how := self._missing_permission(authorization, use_case, "may_pin"):
            raise AccessDenied(403, f"You may not choose the version of {use_case!r} that answers: {how}.")

    def check_may_push(self, authorization: str, use_case: str) -> None:
        """Let a caller that `check` let pass push rows of feature tables; of a person as for `check_may_pin`.

        Args:
            authorization: The header.
            use_case: Whose feature tables.

        Raises:
            AccessDenied: it may not.
            ServiceUnavailable: Airflow, whose token it shows, does not answer.
        """
        if how := self._missing_permission(authorization, use_case, "may_push"):
            raise AccessDenied(403, f"You may not push features of {use_case!r}: {how}.")

    def _missing_permission(self, authorization: str, use_case: str, permission: str) -> str:
        """How to get a permission that a caller lacks; empty: it has it."""
        secret = _bearer(authorization)
        if secret.startswith(tokens.PREFIX):
            if getattr(tokens.find(secret), permission, False):
                return ""
            return f"`perennial token create --{permission.replace('_', '-')}` makes one that may"
        # A rehearsal of a backfill from a day to an earlier one: refused to who may not, invalid to who may.
        if self._status_of(secret, use_case, pinning=True) in (200, 409, 422):
            return ""
        return "Airflow has to let you start its scoring pipeline"

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
        if use_case is not None and token.only_metrics:
            raise AccessDenied(403, "This token reads /metrics only.")
        if use_case is not None and not token.may_ask(use_case):
            raise AccessDenied(403, f"This token is not for use case {use_case!r}.")
        return token.name

    def _check_airflow_token(self, secret: str, use_case: str | None) -> None:
        status = self._status_of(secret, use_case)
        if status in (401, 422):
            raise AccessDenied(401, "Airflow does not accept this token.")
        if status in (403, 404):
            raise AccessDenied(403, f"Airflow does not let you read use case {use_case!r}.")
        if status != 200:
            raise ServiceUnavailable(f"Airflow answered {status} about the token.", "Use a service token.")

    def _status_of(self, secret: str, use_case: str | None, *, pinning: bool = False) -> int:
        """What Airflow answers about a token, remembered for a while."""
        digest = hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()
        key, now = (digest, use_case, pinning), time.monotonic()
        with self._lock:
            until, status = self._remembered.get(key, (0.0, 0))
        if now < until:
            return status
        headers = {"Authorization": f"Bearer {secret}"}
        # Quoted: the name is the caller's.
        path = f"/api/v2/dags/{quote(dag_id(use_case, SCORING), safe='')}" if use_case else "/api/v2/dags?limit=1"
        listeners.check_ours(settings().airflow_uri)
        try:
            if pinning and use_case is not None:
                request = {"dag_id": dag_id(use_case, SCORING), **_NEVER}
                answer = self._http.post("/api/v2/backfills/dry_run", headers=headers, json=request)
            else:
                answer = self._http.get(path, headers=headers)
            status = 401 if _is_no_token(answer) else answer.status_code
        except (httpx.HTTPError, UnicodeError) as error:
            raise ServiceUnavailable(
                f"Airflow does not answer about the token: {type(error).__name__}: {error}", "Use a service token."
            ) from error
        with self._lock:
            if len(self._remembered) >= _MOST_REMEMBERED:
                self._remembered.clear()
            self._remembered[key] = (now + _REMEMBERED, status)
        return status


def _is_no_token(answer: httpx.Response) -> bool:
    """Whether Airflow knows nobody by the token: it answers 403 both to nobody and to who may not."""
    return answer.status_code == httpx.codes.FORBIDDEN and "Invalid JWT token" in answer.text


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
