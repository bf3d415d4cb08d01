"""Pushed feature rows over HTTP: the route that takes them, and its description."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from anyio import CapacityLimiter, to_thread
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from perennial.errors import InvalidParams, ServiceUnavailable
from perennial.serving.access import AccessControl
from perennial.serving.requests import MalformedBody
from perennial.serving.responses import json_response
from perennial.use_case import UseCase

#: Pushes that may wait for the one that is written.
MAX_WAITING = 16


class PushRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Rows for a feature table.

    Attributes:
        rows: Each with the key, `event_timestamp` and every feature; see `perennial.push`.
    """

    rows: list[Any]


class NoSuchTable(InvalidParams):
    """The use case has no feature table of that name that takes pushed rows."""


class Pushes:
    """Takes pushed rows, one request after another: each is a commit in the lake.

    Args:
        use_case: Gives a use case that is served, by its name, or raises UnknownUseCase.
        access: Decides on callers.
        check_access: Lets a caller of a use case pass, as for a prediction.
        read_body: The body of a request, of which no more is read than is allowed.
    """

    def __init__(
        self,
        use_case: Callable[[str], UseCase],
        access: AccessControl,
        check_access: Callable[[Request, str | None], Awaitable[Any]],
        read_body: Callable[[Request], Awaitable[bytes]],
    ) -> None:
        self._use_case = use_case
        self._access = access
        self._check_access = check_access
        self._read_body = read_body
        self._writing = CapacityLimiter(1)
        self._waiting = 0

    def routes(self) -> list[Route]:
        """All routes."""
        return [Route("/v1/use_cases/{use_case}/features/{table}", self.push, methods=["POST"])]

    async def push(self, request: Request) -> Response:
        """Bring rows to the lake and the online store: all or none."""
        use_case, table = request.path_params["use_case"], request.path_params["table"]
        await self._check_access(request, use_case)
        authorization = request.headers.get("authorization", "")
        await to_thread.run_sync(self._access.check_may_push, authorization, use_case)
        self._access.check_rate(authorization)
        self._use_case(use_case)
        try:
            asked = msgspec.json.decode(await self._read_body(request), type=PushRequest)
        except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
            raise MalformedBody(f"{error}; send an object with `rows`") from error
        if self._waiting >= MAX_WAITING:
            raise ServiceUnavailable("Too many pushes wait.", "Push again later, with more rows at once.")
        self._waiting += 1
        try:
            return json_response(await to_thread.run_sync(_push, use_case, table, asked.rows, limiter=self._writing))
        finally:
            self._waiting -= 1


def _push(use_case: str, table: str, rows: list[Any]) -> dict[str, Any]:
    """Push, with what that needs imported at the first one."""
    from perennial import pushing

    try:
        return pushing.push(use_case, table, rows)
    except InvalidParams as error:
        raise NoSuchTable(error.problem, error.fix) from error


def operations(use_case: UseCase, responses: dict[str, Any]) -> dict[str, Any]:
    """The operations by which rows are pushed, for OpenAPI: one for each table that takes them.

    Args:
        use_case: The use case.
        responses: The description of each status but 200.
    """
    row: dict[str, Any] = {"type": "object", "required": ["event_timestamp"], "additionalProperties": True}
    row["properties"] = {"event_timestamp": {"type": "string", "format": "date-time"}}
    body: dict[str, Any] = {
        "type": "object",
        "required": ["rows"],
        "properties": {"rows": {"type": "array", "items": row}},
    }
    body["additionalProperties"] = False
    return {
        f"/v1/use_cases/{use_case.name}/features/{table.name}": {
            "post": {
                "operationId": f"push_{use_case.name}_{table.name}",
                "summary": f"Push rows of feature table {table.name}: its key {', '.join(table.key)}, time, features",
                "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
                "responses": {"200": {"description": "In the lake and online."}} | responses,
            }
        }
        for table in use_case.features
        if table.pushed
    }
