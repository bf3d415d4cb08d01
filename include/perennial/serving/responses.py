"""JSON over HTTP, as every protocol of the server sends it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from perennial.serving.answers import PredictionResponse
from perennial.serving.requests import PredictionRequest

#: Answers a request for a use case, whose body is read as the protocol says. Every protocol goes through it: it decides
#: on the caller, predicts, and counts.
Answer = Callable[[Request, str, Callable[[bytes], PredictionRequest]], Awaitable[PredictionResponse]]


def json_response(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A response whose body is this content."""
    return Response(msgspec.json.encode(content), status, headers, media_type="application/json")
