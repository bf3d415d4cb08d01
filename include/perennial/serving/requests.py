"""The body of a request over HTTP, and what is sent back when it is not answered."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

import msgspec

from perennial.errors import InvalidExamples, PerennialError, RequestRefused
from perennial.serving.request_schema import explain

#: The most bytes of a request.
MAX_BYTES = 1 << 20


#: A moment with its offset from UTC.
Moment = Annotated[datetime, msgspec.Meta(tz=True)]


class PredictionRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Examples to predict.

    Attributes:
        examples: See `RequestSchema`, which checks them.
        at: The moment that the ages of features are counted to, with its offset from UTC; None: now.
        features: Whether the features that the model saw are returned too.
        model_version: The version that is to answer; None: the champion.
    """

    examples: list[Any]
    at: Moment | None = None
    features: bool = False
    model_version: int | None = None


class Problem(msgspec.Struct, frozen=True):
    """What is wrong with a request, and where: `examples[3].carrier`."""

    path: str
    message: str


class ErrorResponse(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why a request was not answered.

    Attributes:
        error: The kind of error, for programs: a class of `perennial.errors`, or a word.
        message: What is wrong, for people.
        fix: What to do about it.
        problems: Each problem of an invalid request.
    """

    error: str
    message: str
    fix: str = ""
    problems: list[Problem] = []

    @staticmethod
    def of(error: PerennialError) -> ErrorResponse:
        """What is sent of an error."""
        problems = error.problems if isinstance(error, RequestRefused) else ()
        return ErrorResponse(type(error).__name__, error.problem, error.fix, [Problem(*each) for each in problems])


def predict_path(use_case: str) -> str:
    """Where a use case is asked for predictions.

    Args:
        use_case: Its name.
    """
    return f"/v1/use_cases/{use_case}/predict"


def check_path(use_case: str, version: int) -> str:
    """Where a server is asked whether it can load a version.

    Args:
        use_case: The use case's name.
        version: The version.
    """
    return f"/v1/use_cases/{use_case}/versions/{version}/check"


def described(description: Mapping[str, Any], use_case: str) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """What a request of a use case holds, by a server's own description of itself.

    Args:
        description: Its OpenAPI document.
        use_case: The use case's name.

    Returns:
        The JSON Schema of an example, and a request that works (empty: there is none); None if it serves no version.
    """
    operation = description["paths"].get(predict_path(use_case), {}).get("post")
    if operation is None:
        return None
    content = operation["requestBody"]["content"]["application/json"]
    return content["schema"]["properties"]["examples"]["items"], content.get("example", {})


class MalformedBody(Exception):
    """The body is no JSON."""


def decode(body: bytes) -> PredictionRequest:
    """The request that a body holds; its examples are not checked yet.

    Raises:
        MalformedBody: it is no JSON.
        InvalidExamples: it is no object with `examples`, or has something that `PredictionRequest` has not.
    """
    try:
        return msgspec.json.decode(body, type=PredictionRequest)
    except msgspec.ValidationError as error:
        within, message = explain(error)
        path = within.lstrip(".") or "request"
        raise InvalidExamples(
            f"The request is invalid: {path}: {message}.",
            'Send {"examples": [...]}, and if wanted "at", "features" and "model_version".',
            [(path, message)],
        ) from error
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        raise MalformedBody(str(error)) from error
