"""The prediction server's routes, as an ASGI application."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec
from anyio import CapacityLimiter, to_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from perennial.errors import (
    BadFeatures,
    InvalidExamples,
    MissingFeatures,
    PerennialError,
    ServiceUnavailable,
    UnknownUseCase,
    UnknownVersion,
)
from perennial.serving import answering, openapi
from perennial.serving.access import AccessControl, AccessDenied
from perennial.serving.answers import PredictionResponse
from perennial.serving.batches import Batches
from perennial.serving.champions import Champions
from perennial.serving.metrics import Metrics
from perennial.serving.requests import MAX_BYTES, ErrorResponse, MalformedBody, PredictionRequest, decode

log = logging.getLogger(__name__)

#: Requests that may wait for the thread that predicts; beyond that the server says that it is busy.
MAX_WAITING = 256
#: Which status a caller gets for which error; for all others 500.
_STATUS: dict[type[PerennialError], int] = {
    UnknownUseCase: 404,
    InvalidExamples: 422,
    MissingFeatures: 503,
    UnknownVersion: 503,
    BadFeatures: 503,
    ServiceUnavailable: 503,
}


class BodyTooLarge(Exception):
    """A request has more than `MAX_BYTES`."""


class PredictionServer:
    """Answers requests with the loaded champions.

    Args:
        champions: The versions that serve.
        access: Decides on callers.
    """

    def __init__(self, champions: Champions, access: AccessControl) -> None:
        self._champions = champions
        self._access = access
        self._metrics = Metrics(champions)
        self._batches = Batches(self._answer)
        self._waiting = 0
        self._asking_airflow = CapacityLimiter(4)

    def routes(self) -> list[Route]:
        """All routes."""
        return [
            Route("/v1/use_cases/{use_case}/predict", self._counted(self.predict), methods=["POST"]),
            Route("/health", self.health),
            Route("/ready", self.ready),
            Route("/metrics", self.metrics),
            Route("/openapi.json", self.openapi),
        ]

    async def health(self, request: Request) -> Response:
        """Whether this process answers at all; for everybody."""
        return _json({"status": "alive"})

    async def ready(self, request: Request) -> Response:
        """Whether every use case has a version that serves, and which; for everybody."""
        state = self._champions.state()
        is_ready = all(each.model_version is not None for each in state.values())
        return _json({"ready": is_ready, "use_cases": state}, 200 if is_ready else 503)

    async def metrics(self, request: Request) -> Response:
        """Counters, for Prometheus."""
        await self._check_access(request, None)
        return Response(self._metrics.exposition(), media_type="text/plain; version=0.0.4")

    async def openapi(self, request: Request) -> Response:
        """The description of what this caller may ask."""
        denied: AccessDenied | None = None
        versions = []
        for name in self._champions.names:
            try:
                await self._check_access(request, name)
                versions.append(self._champions.version(name))
            except AccessDenied as error:
                denied = error
            except PerennialError:
                continue  # It has no version yet.
        if denied is not None and not versions:
            raise denied
        return _json(await to_thread.run_sync(openapi.describe, versions))

    async def predict(self, request: Request) -> Response:
        """Predict examples of one use case."""
        started = time.perf_counter()
        name = request.path_params["use_case"]
        await self._check_access(request, name)
        if name not in self._champions.names:
            raise UnknownUseCase(f"This server does not serve use case {name!r}.", "Start it with that use case.")
        asked = decode(await _body(request))
        response = await self._in_turn(name, asked)
        self._metrics.answered(response, time.perf_counter() - started)
        return _json(response)

    async def _in_turn(self, name: str, asked: PredictionRequest) -> PredictionResponse:
        """Answer in the thread that predicts, with the version that serves when it is this request's turn."""
        if self._waiting >= MAX_WAITING:
            raise ServiceUnavailable("The server is busy.", "Ask again later, or start another server.")
        self._waiting += 1
        try:
            return await self._batches.ask(name, asked)
        finally:
            self._waiting -= 1

    def _answer(self, name: str, requests: Sequence[PredictionRequest]) -> list[PredictionResponse | Exception]:
        return answering.answer_together(self._champions.version(name), requests)

    async def _check_access(self, request: Request, use_case: str | None) -> None:
        authorization = request.headers.get("authorization", "")
        if self._access.takes_long(authorization):
            # A few at once: who sends made-up tokens takes no thread from others.
            await to_thread.run_sync(self._access.check, authorization, use_case, limiter=self._asking_airflow)
        else:
            self._access.check(authorization, use_case)

    def _counted(self, endpoint: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
        """The endpoint, whose errors are counted; of a use case that is not served nothing is."""

        async def counted(request: Request) -> Response:
            try:
                return await endpoint(request)
            except Exception as error:
                if (name := request.path_params["use_case"]) in self._champions.names:
                    self._metrics.refused(name, _refusal(error)[0])
                raise

        return counted


def application(champions: Champions, access: AccessControl) -> Starlette:
    """The application.

    Args:
        champions: The versions that serve; somebody else refreshes them.
        access: Decides on callers.
    """
    kinds = (AccessDenied, BodyTooLarge, MalformedBody, PerennialError, HTTPException, Exception)
    server = PredictionServer(champions, access)
    return Starlette(routes=server.routes(), exception_handlers=dict.fromkeys(kinds, _refuse))


async def _refuse(request: Request, error: Exception) -> Response:
    status, response = _refusal(error)
    if status == 500:
        log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else {"Retry-After": "1"} if status == 503 else {}
    if isinstance(error, HTTPException):
        headers |= dict(error.headers or {})
    return _json(response, status, headers)


def _refusal(error: Exception) -> tuple[int, ErrorResponse]:
    """The status and the body by which an error is sent."""
    match error:
        case AccessDenied():
            return error.status, ErrorResponse("AccessDenied", error.reason)
        case BodyTooLarge():
            return 413, ErrorResponse("BodyTooLarge", f"A request has at most {MAX_BYTES} bytes.")
        case MalformedBody():
            return 400, ErrorResponse("MalformedBody", f"The body is no JSON: {error}")
        case PerennialError():
            status = next((code for kind, code in _STATUS.items() if isinstance(error, kind)), 500)
            return status, ErrorResponse.of(error)
        case HTTPException():
            return error.status_code, ErrorResponse("HTTPException", error.detail)
    return 500, ErrorResponse("InternalError", "An error that was not expected; the server's log has it.")


async def _body(request: Request) -> bytes:
    """The body, of which no more is read than is allowed."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BYTES:
            raise BodyTooLarge
    return bytes(body)


def _json(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(content), status, headers, media_type="application/json")
