"""The OpenAPI description of a prediction server: a typed request for each use case, and an example that works."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version as version_of
from typing import Any

import msgspec

from perennial import lake
from perennial.serving import mlflow_protocol, open_inference, pushes
from perennial.serving.answers import PredictionResponse
from perennial.serving.loaded_version import LoadedVersion
from perennial.serving.request_schema import MAX_EXAMPLES
from perennial.serving.requests import ErrorResponse, predict_path
from perennial.use_case import UseCase
from perennial.use_case.classes import MULTICLASS

_ERRORS = {
    400: "The body is no JSON.",
    401: "No token, or one that is unknown, revoked or expired.",
    403: "The token is not for this use case, may not choose the version, or may not push.",
    404: "This server does not serve the use case, or not this version of it.",
    413: "The body is too large.",
    415: "The body is of another type than the protocol's.",
    429: "The token may not ask so often; Retry-After says when it may.",
    422: "The request is invalid; `problems` lists each field's path.",
    500: "The model fails.",
    503: "A store does not answer, the server is busy or has no champion, or features are missing and the use case's"
    " policy is to refuse then.",
}


def describe(versions: Sequence[LoadedVersion], *, alone: bool = False) -> dict[str, Any]:
    """The description of the routes by which these versions are asked.

    Args:
        versions: One a use case; an example of each is read from the lake.
        alone: Whether the server serves one use case only.

    Raises:
        ServiceUnavailable: the lake does not answer.
    """
    reference = "#/components/schemas/{name}"
    _, components = msgspec.json.schema_components([PredictionResponse, ErrorResponse], ref_template=reference)
    paths: dict[str, Any] = {}
    for version in versions:
        paths |= _paths(version, alone=alone)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Perennial: predictions on request", "version": version_of("perennial")},
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}],
    }


def _paths(version: LoadedVersion, *, alone: bool) -> dict[str, Any]:
    """The operations by which a use case is asked, in every protocol."""
    name, example = version.use_case.name, _example(version)
    other = open_inference.operations(name, version.request, example, version.use_case.classes)
    other |= mlflow_protocol.operations(name, version.request, example, alone=alone)
    for methods in other.values():
        for operation in methods.values():
            operation["responses"] = {"200": {"description": "Answered."}} | {
                str(status): {"description": meaning} for status, meaning in _ERRORS.items()
            }
    errors = {str(status): {"description": meaning} for status, meaning in _ERRORS.items()}
    other |= pushes.operations(version.use_case, errors)
    return {predict_path(name): {"post": _operation(version, example)}} | other


def _operation(version: LoadedVersion, example: dict[str, Any] | None) -> dict[str, Any]:
    use_case = version.use_case
    body = {
        "type": "object",
        "properties": {
            "examples": {
                "type": "array",
                "items": version.request.json_schema(),
                "minItems": 1,
                "maxItems": MAX_EXAMPLES,
            },
            "at": {"anyOf": [{"type": "string", "format": "date-time"}, {"type": "null"}], "default": None},
            "features": {"type": "boolean", "default": False},
            "model_version": {"anyOf": [{"type": "integer"}, {"type": "null"}], "default": None},
        },
        "required": ["examples"],
        "additionalProperties": False,
    }
    content: dict[str, Any] = {"schema": body}
    if example:
        content["example"] = example
    return {
        "operationId": f"predict_{use_case.name}",
        "summary": use_case.title,
        "description": use_case.description,
        "requestBody": {"required": True, "content": {"application/json": content}},
        "responses": {
            "200": _answer(use_case),
            **{str(status): _response(meaning, "ErrorResponse") for status, meaning in _ERRORS.items()},
        },
    }


def _answer(use_case: UseCase) -> dict[str, Any]:
    """The response with predictions, which are of one type in each use case."""
    response = _response("Predictions, one for each example.", "PredictionResponse")
    predicted = {"type": "string", "enum": [*use_case.classes]} if use_case.task == MULTICLASS else {"type": "number"}
    narrowed = {"predictions": {"items": {"properties": {"prediction": predicted}}}}
    content = response["content"]["application/json"]
    content["schema"] = {"allOf": [content["schema"], {"properties": narrowed}]}
    return response


def _response(meaning: str, schema: str) -> dict[str, Any]:
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
    return {"description": meaning, "content": content}


def _example(version: LoadedVersion) -> dict[str, Any] | None:
    """The request that asks again for an example of the newest partition, at its moment; None without examples."""
    table = version.use_case.tables.examples
    names = [field.name for field in version.request.fields]
    for partition in reversed(lake.partitions(table)):
        for batch in lake.iter_batches(table, partition=partition, columns=[*names, "event_timestamp"]):
            for row in batch.slice(0, 1).to_pylist():
                moment = row.pop("event_timestamp")
                return {"examples": [msgspec.to_builtins(row)], "at": msgspec.to_builtins(moment)}
    return None
