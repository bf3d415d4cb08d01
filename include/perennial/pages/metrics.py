"""The metrics of the pipelines for Prometheus, at `/perennial/metrics` of Airflow's API server.

Who scrapes shows a service token that was made with `--only-metrics`, which is nobody's login; a person with a login to
Airflow may look too, and sees the use cases whose pages she may read. So this one route checks its caller by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import PlainTextResponse, Response
from fastapi.security import HTTPBearer

from perennial import discovery
from perennial.alerts.incidents import INSTALLATION
from perennial.pages import access, run_metrics
from perennial.pages._compat import BaseUser, get_user
from perennial.serving import tokens
from perennial.serving.tokens import ServiceToken
from perennial.telemetry import incident_metrics, use_case_metrics
from perennial.telemetry.samples import CONTENT_TYPE

#: Its route takes a service token in place of a login, and is not put behind the check of the login like the others.
router = APIRouter()
_bearer = HTTPBearer(auto_error=False)


@router.get("/metrics", include_in_schema=False)
async def metrics(request: Request) -> Response:
    """All metrics that the caller may read.

    Args:
        request: Tells who asks.

    Raises:
        HTTPException: 401 or 403, nobody is known by what it shows.
    """
    shown = await _bearer(request)
    if shown is None or not shown.credentials.startswith(tokens.PREFIX):
        user = await get_user(request, None, shown)
        return await run_in_threadpool(_for_person, user)
    return await run_in_threadpool(_for_program, shown.credentials)


def _for_person(user: BaseUser) -> Response:
    names = discovery.names()
    readable = access.readable(names, user)
    return _answer(readable, is_everything=len(readable) == len(names))


def _for_program(secret: str) -> Response:
    token: ServiceToken | None = tokens.find(secret)
    if token is None:
        return PlainTextResponse("This token is unknown, revoked or expired.\n", 401)
    if not token.only_metrics:
        return PlainTextResponse("This token was made to ask for predictions, not with --only-metrics.\n", 403)
    covered = [name for name in discovery.names() if token.covers(name)]
    return _answer(covered, is_everything=token.use_cases is None)


def _answer(names: Sequence[str], *, is_everything: bool) -> Response:
    """The metrics of these use cases, and of the installation for who may read those of all."""
    runs = run_metrics.of_use_cases(names)
    samples = use_case_metrics.of_use_cases(names, runs, datetime.now(UTC))
    samples.extend(incident_metrics.of_use_cases([*names, INSTALLATION] if is_everything else names))
    return Response(samples.exposition(), media_type=CONTENT_TYPE)
