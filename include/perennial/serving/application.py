"""The prediction server's routes, as an ASGI application."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from anyio import CapacityLimiter, to_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from perennial.errors import (
    BadFeatures,
    InvalidExamples,
    InvalidRows,
    MissingFeatures,
    PerennialError,
    ServiceUnavailable,
    UnknownUseCase,
    UnknownVersion,
    VersionNotServed,
)
from perennial.served_predictions.writing import PredictionLog
from perennial.serving import answering, mlflow_protocol, open_inference, openapi
from perennial.serving.access import AccessControl, AccessDenied
from perennial.serving.answers import PredictionResponse
from perennial.serving.batches import Batches
from perennial.serving.champions import Champions
from perennial.serving.metrics import Metrics
from perennial.serving.mlflow_protocol import MlflowProtocol
from perennial.serving.open_inference import OpenInference
from perennial.serving.pinned_versions import PinnedVersions
from perennial.serving.pushes import NoSuchTable, Pushes
from perennial.serving.recording import ReceivedRequest, Recorder
from perennial.serving.requests import MAX_BYTES, ErrorResponse, MalformedBody, PredictionRequest, decode
from perennial.serving.responses import json_response
from perennial.serving.trials import Trials
from perennial.serving.version_checks import VersionChecks

log = logging.getLogger(__name__)

#: Requests that may wait for the thread that predicts; beyond that the server says that it is busy.
MAX_WAITING = 256
#: Which status a caller gets for which error; for all others 500.
_STATUS: dict[type[PerennialError], int] = {
    UnknownUseCase: 404,
    VersionNotServed: 404,
    NoSuchTable: 404,
    InvalidExamples: 422,
    InvalidRows: 422,
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
        log: Where predictions are recorded before they are answered; None: nowhere.
        workers: See `Metrics`.
    """

    def __init__(
        self, champions: Champions, access: AccessControl, log: PredictionLog | None = None, workers: Path | None = None
    ) -> None:
        self._champions = champions
        self._access = access
        recorder = Recorder(log) if log is not None else None
        self._record = recorder.record if recorder is not None else None
        # Only what is recorded can be judged: without a log no challenger is tried.
        self._trials = Trials(champions.challengers, recorder) if recorder is not None else None
        self._metrics = Metrics(champions, log.folder if log is not None else None, workers, self._trials)
        self._batches = Batches(self._answer, self._trials.predict_waiting if self._trials is not None else None)
        self._waiting = 0
        self._asking_airflow = CapacityLimiter(4)
        self._pinned = PinnedVersions()
        self._loading = CapacityLimiter(1)

    def routes(self) -> list[Route]:
        """All routes."""
        return [
            Route("/v1/use_cases/{use_case}/predict", self.predict, methods=["POST"]),
            Route("/health", self.health),
            Route("/ready", self.ready),
            Route("/metrics", self.metrics),
            Route("/openapi.json", self.openapi),
            *OpenInference(self._champions, self.answer, self._check_access).routes(),
            *MlflowProtocol(self._champions, self.answer).routes(),
            *Pushes(self._champions.use_case, self._access, self._check_access, _body).routes(),
            *VersionChecks(self._champions.use_case, self._access, self._check_access).routes(),
        ]

    async def health(self, request: Request) -> Response:
        """Whether this process answers at all; for everybody."""
        return json_response({"status": "alive"})

    async def ready(self, request: Request) -> Response:
        """Whether every use case has a version that serves, and which; for everybody."""
        state = self._champions.state()
        is_ready = self._champions.are_ready()
        return json_response({"ready": is_ready, "use_cases": state}, 200 if is_ready else 503)

    async def metrics(self, request: Request) -> Response:
        """Counters, for Prometheus."""
        await self._check_access(request, None)
        shown = await to_thread.run_sync(self._metrics.exposition)
        return Response(shown, media_type="text/plain; version=0.0.4")

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
        alone = len(self._champions.names) == 1
        return json_response(await to_thread.run_sync(lambda: openapi.describe(versions, alone=alone)))

    async def predict(self, request: Request) -> Response:
        """Predict examples of one use case."""
        return json_response(await self.answer(request, request.path_params["use_case"], decode))

    async def answer(
        self, request: Request, name: str, read: Callable[[bytes], PredictionRequest]
    ) -> PredictionResponse:
        """Answer a request of any protocol, and count it; of a use case that is not served nothing is counted.

        Args:
            request: Whose caller and body it is.
            name: The use case.
            read: The request that a body holds; an error of its is the caller's.

        Raises:
            AccessDenied: the caller may not ask this use case.
            UnknownUseCase: it is not served.
            PerennialError: and others, by which the request is refused.
        """
        started = time.perf_counter()
        try:
            caller = await self._check_access(request, name)
            self._champions.use_case(name)
            self._access.check_rate(request.headers.get("authorization", ""))
            asked = ReceivedRequest.of(read(await _body(request)), caller, started)
            await self._load_pinned(request, name, asked.model_version)
            response = await self._in_turn(name, asked)
        except Exception as error:
            if name in self._champions.names:
                self._metrics.refused(name, _refusal(error)[0])
            raise
        self._metrics.answered(response, time.perf_counter() - started)
        return response

    async def _load_pinned(self, request: Request, name: str, number: int | None) -> None:
        """Load the version that a request names, if it is not the one that serves and the caller may choose it."""
        serving = self._champions.version(name) if number is not None else None
        if serving is None or number is None or number == serving.number:
            return
        authorization = request.headers.get("authorization", "")
        await to_thread.run_sync(self._access.check_may_pin, authorization, name, limiter=self._asking_airflow)
        await to_thread.run_sync(self._pinned.load, serving.use_case, number, limiter=self._loading)

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
        outcomes: dict[int, PredictionResponse | Exception] = {}
        for number in dict.fromkeys(each.model_version for each in requests):
            asked = {at: each for at, each in enumerate(requests) if each.model_version == number}
            try:
                pinned = self._pinned.get(name, number) if number is not None else None
                version = self._champions.version(name, number if pinned is None else None)
                version = version if pinned is None or version.number == number else pinned
            except PerennialError as error:
                outcomes |= dict.fromkeys(asked, error)
            else:
                # Who asks for a version by its number gets that one.
                if self._trials is not None and number is None:
                    answered = self._trials.answer(version, list(asked.values()))
                else:
                    record = self._record
                    if record is not None and version is pinned:
                        record = partial(record, served_as="pinned")
                    answered = answering.answer_together(version, list(asked.values()), record=record)
                outcomes |= zip(asked, answered, strict=True)
        return [outcomes[at] for at in range(len(requests))]

    async def _check_access(self, request: Request, use_case: str | None) -> str:
        """Who asks."""
        authorization = request.headers.get("authorization", "")
        if self._access.takes_long(authorization):
            # A few at once: who sends made-up tokens takes no thread from others.
            return await to_thread.run_sync(self._access.check, authorization, use_case, limiter=self._asking_airflow)
        return self._access.check(authorization, use_case)


def application(
    champions: Champions, access: AccessControl, log: PredictionLog | None = None, workers: Path | None = None
) -> Starlette:
    """The application.

    Args:
        champions: The versions that serve; somebody else refreshes them.
        access: Decides on callers.
        log: See `PredictionServer`; somebody else carries it into the lake.
        workers: See `Metrics`.
    """
    kinds = (AccessDenied, BodyTooLarge, MalformedBody, PerennialError, HTTPException, Exception)
    server = PredictionServer(champions, access, log, workers)
    return Starlette(routes=server.routes(), exception_handlers=dict.fromkeys(kinds, _refuse))


async def _refuse(request: Request, error: Exception) -> Response:
    status, response = _refusal(error)
    if status == 500:
        log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else {"Retry-After": "1"} if status == 503 else {}
    if isinstance(error, AccessDenied) and error.retry_after is not None:
        headers["Retry-After"] = str(math.ceil(error.retry_after))
    if isinstance(error, HTTPException):
        headers |= dict(error.headers or {})
    return json_response(_in_the_form_of(request.url.path, status, response), status, headers)


def _in_the_form_of(path: str, status: int, response: ErrorResponse) -> Any:
    """An error as the protocol of a path knows it."""
    if path.startswith(mlflow_protocol.PREFIXES):
        return mlflow_protocol.error_body(status, response)
    is_open_inference = f"{path}/".startswith(f"{open_inference.PREFIX}/")
    return open_inference.error_body(status, response) if is_open_inference else response


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
