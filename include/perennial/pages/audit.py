"""Records in the audit log what people do through Airflow's API server: a middleware of all of it.

Perennial's pages, Airflow's own, and REST pass here. Tasks do not: they use the execution API.
"""

from __future__ import annotations

import json
import logging
import re
from contextvars import ContextVar
from typing import Any
from urllib.parse import parse_qs

from fastapi import HTTPException
from fastapi.concurrency import run_in_threadpool
from fastapi.security import HTTPAuthorizationCredentials
from fastapi.security.utils import get_authorization_scheme_param
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from perennial.pages._compat import get_user
from perennial.registry import audit_log
from perennial.registry.audit_log import Act, Outcome

log = logging.getLogger(__name__)
_LOOKS = frozenset({"GET", "HEAD", "OPTIONS"})
#: Of a request's body, enough to find a reason in it.
_LONGEST = 65_536
_OF_USE_CASE = re.compile(r"/(?:use_cases|dags)/([a-z][a-z0-9_]*)(?:[./]|$)")
#: Set while an act is being recorded: what a page asks of Airflow's REST API belongs to the same act.
_inside: ContextVar[bool] = ContextVar("inside", default=False)


def recording_acts(app: ASGIApp) -> ASGIApp:
    """An application that records each request that may change something, once it has been answered."""

    async def recorded(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not _is_act(scope) or _inside.get():
            await app(scope, receive, send)
            return
        # As it came: an application that is mounted below this one changes where it begins.
        request, body, status = Request(dict(scope)), bytearray(), 500

        async def receiving() -> Message:
            message = await receive()
            if message["type"] == "http.request" and len(body) < _LONGEST:
                body.extend(message.get("body", b""))
            return message

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        token = _inside.set(True)
        try:
            await app(scope, receiving, sending)
        finally:
            _inside.reset(token)
            await _record(request, bytes(body[:_LONGEST]), status)

    return recorded


async def _record(request: Request, body: bytes, status: int) -> None:
    """Record what has been answered; that this fails takes nothing back, and is logged."""
    try:
        act = _act(request, body, status, await _user(request))
        await run_in_threadpool(audit_log.record, act)
    except Exception:
        log.exception("Not in the audit log: %s %s, answered with %s", request.method, request.url.path, status)


def _is_act(scope: Scope) -> bool:
    path = _path(scope)
    # What ends so only reads, by a filter that is too long for an address.
    is_look = scope["method"] in _LOOKS or path.endswith("/list")
    return not is_look and not path.startswith("/execution/")


def _path(scope: Scope) -> str:
    """The path below that of the application."""
    return str(scope["path"]).removeprefix(str(scope.get("root_path", "")))


def _act(request: Request, body: bytes, status: int, user: str) -> Act:
    path, sent = _path(request.scope), _sent(request, body)
    found = _OF_USE_CASE.search(path)
    outcome: Outcome = "done" if status < 400 else "refused" if status < 500 else "failed"
    return Act(
        actor=user or (sent.get("username", "") if path.startswith("/auth/") else ""),
        channel="page" if path.startswith("/perennial/") else "rest",
        address=request.client.host if request.client else "",
        act=f"{request.method} {path}",
        use_case=found[1] if found else "",
        reason=sent.get("reason", "") or sent.get("note", ""),
        outcome=outcome,
        status=status,
    )


def _sent(request: Request, body: bytes) -> dict[str, str]:
    """The texts of a form or of a JSON object, and of the objects in it."""
    if request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        return {name: values[-1] for name, values in parse_qs(body.decode(errors="replace")).items()}
    try:
        return _texts(json.loads(body))
    except (ValueError, RecursionError):
        return {}


def _texts(sent: Any) -> dict[str, str]:
    if not isinstance(sent, dict):
        return {}
    inner = {name: text for each in ("conf", "params_input") for name, text in _texts(sent.get(each)).items()}
    return inner | {name: value for name, value in sent.items() if isinstance(value, str)}


async def _user(request: Request) -> str:
    """Who is logged in; empty: nobody is."""
    scheme, shown = get_authorization_scheme_param(request.headers.get("authorization"))
    bearer = HTTPAuthorizationCredentials(scheme=scheme, credentials=shown) if scheme.lower() == "bearer" else None
    try:
        user = await get_user(request, None, bearer)
    except HTTPException:
        return ""
    return str(user.get_name())
