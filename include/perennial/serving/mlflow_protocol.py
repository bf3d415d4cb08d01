"""MLflow's scoring protocol, in which `mlflow models serve`, SageMaker and their clients ask."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from importlib.metadata import version as version_of
from typing import Any, NoReturn

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from perennial.errors import InvalidExamples
from perennial.serving.answers import PredictionResponse
from perennial.serving.champions import Champions
from perennial.serving.request_schema import RequestSchema, explain
from perennial.serving.requests import ErrorResponse, MalformedBody, Moment, PredictionRequest
from perennial.serving.responses import Answer, json_response

#: Where the protocol's routes are.
PREFIXES = ("/invocations", "/ping", "/version", "/mlflow/")
_FORMATS = ("dataframe_split", "dataframe_records", "instances", "inputs")
#: MLflow's names of errors, by status.
_CODES = {
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "RESOURCE_DOES_NOT_EXIST",
    422: "INVALID_PARAMETER_VALUE",
    429: "REQUEST_LIMIT_EXCEEDED",
    500: "INTERNAL_ERROR",
    503: "TEMPORARILY_UNAVAILABLE",
}


class MlflowProtocol:
    """The protocol's routes. It knows one model a server: `/invocations` is the use case if just one is served.

    Args:
        champions: The versions that serve.
        answer: Answers a request of any protocol.
    """

    def __init__(self, champions: Champions, answer: Answer) -> None:
        self._champions = champions
        self._answer = answer

    def routes(self) -> Iterator[Route]:
        """All routes."""
        yield Route("/ping", self.ping)
        yield Route("/version", self.version)
        yield Route("/invocations", self.invocations, methods=["POST"])
        yield Route("/mlflow/{use_case}/invocations", self.invocations, methods=["POST"])

    async def ping(self, request: Request) -> Response:
        """200 once every use case has a version that serves; for everybody."""
        return Response("\n", 200 if self._champions.are_ready() else 503, media_type="application/json")

    async def version(self, request: Request) -> Response:
        """The version of MLflow, whose protocol this is; for everybody."""
        return Response(version_of("mlflow"), media_type="text/plain")

    async def invocations(self, request: Request) -> Response:
        """Predict the rows of a table."""
        name = request.path_params.get("use_case") or self._only_use_case()

        def read(body: bytes) -> PredictionRequest:
            kind, _, parameters = request.headers.get("content-type", "").lower().partition(";")
            if parameters.strip() not in ("", "charset=utf-8"):
                raise HTTPException(415, "Send UTF-8, without other parameters of the content type.")
            if kind.strip() == "text/csv":
                return from_csv(body, self._champions.version(name).request)
            if kind.strip() == "application/json":
                return from_json(body)
            raise HTTPException(415, "Send application/json or text/csv.")

        return json_response(scoring_response(await self._answer(request, name, read)))

    def _only_use_case(self) -> str:
        names = self._champions.names
        if len(names) != 1:
            raise HTTPException(
                400, f"This server serves {', '.join(names) or 'nothing'}: POST /mlflow/NAME/invocations."
            )
        return names[0]


def from_json(body: bytes) -> PredictionRequest:
    """The request that a JSON body holds; its examples are not checked yet.

    Args:
        body: An object with one of `dataframe_split`, `dataframe_records`, `instances` and `inputs`, and if wanted
            `params` with `at`. NaN, which MLflow's client writes for what is not known, is null.

    Raises:
        MalformedBody: it is no JSON.
        InvalidExamples: it is no such object.
    """
    content = _decode(body)
    if not isinstance(content, dict):
        _fail("request", "expected an object")
    given = [name for name in _FORMATS if name in content]
    if len(given) != 1:
        _fail("request", f"expected one of {', '.join(_FORMATS)}, got {', '.join(given) or 'none'}")
    if unknown := [name for name in content if name not in (*_FORMATS, "params")]:
        _fail(unknown[0][:60], "unknown field")
    (name,) = given
    return PredictionRequest(_rows(name, content[name]), at=_moment(content.get("params")))


def from_csv(body: bytes, schema: RequestSchema) -> PredictionRequest:
    """The request that a CSV body with a line of names holds, checked; an empty value is null.

    Args:
        body: The table.
        schema: By whose types its text is read.

    Raises:
        InvalidExamples: it is no CSV in UTF-8, or as for every request.
    """
    try:
        names, *rows = list(csv.reader(io.StringIO(body.decode()), strict=True)) or [[]]
    except (UnicodeDecodeError, csv.Error) as error:
        _fail("csv", str(error))
    table = {"columns": names, "data": [[value or None for value in row] for row in rows if row]}
    return PredictionRequest(schema.check(_from_split("csv", table), from_text=True))


def scoring_response(response: PredictionResponse) -> dict[str, Any]:
    """The answer in the protocol's form: `predictions`, and beside it what else is known."""
    known = [each.probabilities for each in response.predictions]
    of_classes = {"probabilities": known} if any(each is not None for each in known) else {}
    return of_classes | {
        "predictions": [each.prediction for each in response.predictions],
        "model_version": str(response.model_version),
        "prediction_ids": [each.prediction_id for each in response.predictions],
        "missing": [each.missing for each in response.predictions],
    }


def error_body(status: int, error: ErrorResponse) -> dict[str, str]:
    """An error in the protocol's form."""
    return {"error_code": _CODES.get(status, "BAD_REQUEST"), "message": f"{error.message} {error.fix}".strip()}


def _decode(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        pass
    try:
        return json.loads(body, parse_constant={"NaN": None}.__getitem__)
    except KeyError as error:
        raise MalformedBody(f"{error.args[0]} is no finite number") from error
    except (ValueError, RecursionError) as error:
        raise MalformedBody(str(error)) from error


def _rows(name: str, value: Any) -> list[Any]:
    """The examples of one of the four forms; those that are no objects are reported by the check of examples."""
    if name == "dataframe_split":
        return _from_split(name, value)
    if name == "inputs" and isinstance(value, dict):
        return _from_columns(value)
    if not isinstance(value, list):
        _fail(name, "expected an array of objects")
    return value


def _from_split(name: str, table: Any) -> list[dict[str, Any]]:
    if not isinstance(table, dict) or not all(isinstance(table.get(part), list) for part in ("columns", "data")):
        _fail(name, "expected an object with the arrays columns and data")
    names, rows = table["columns"], table["data"]
    if not all(isinstance(each, str) for each in names) or len(set(names)) < len(names):
        _fail(f"{name}.columns", "expected different names")
    for number, row in enumerate(rows):
        if not isinstance(row, list) or len(row) != len(names):
            _fail(f"{name}.data[{number}]", f"expected {len(names)} values, one a column")
    return [dict(zip(names, row, strict=True)) for row in rows]


def _from_columns(columns: dict[str, Any]) -> list[dict[str, Any]]:
    """`inputs` by name: each an array with one value an example, or all single values of one example."""
    if not any(isinstance(value, list) for value in columns.values()):
        return [columns]
    length = next(len(value) for value in columns.values() if isinstance(value, list))
    for name, value in columns.items():
        if not isinstance(value, list) or len(value) != length:
            _fail(f"inputs.{name[:60]}", f"expected an array of {length} values, one an example")
    return [{name: value[row] for name, value in columns.items()} for row in range(length)]


def _moment(parameters: Any) -> Moment | None:
    if parameters is None:
        return None
    if not isinstance(parameters, dict) or not parameters.keys() <= {"at"}:
        _fail("params", "expected an object with nothing but `at`")
    try:
        return msgspec.convert(parameters.get("at"), Moment | None)
    except msgspec.ValidationError as error:
        _fail("params.at", explain(error)[1])


def _fail(path: str, message: str) -> NoReturn:
    raise InvalidExamples(
        f"The request is invalid: {path}: {message}.",
        'Send {"dataframe_split": {"columns": [...], "data": [[...]]}}; docs/serving.md has the other forms.',
        [(path, message)],
    )


def operations(name: str, schema: RequestSchema, example: Mapping[str, Any] | None, *, alone: bool) -> dict[str, Any]:
    """The paths of one use case for OpenAPI, by method.

    Args:
        name: The use case.
        schema: Its fields.
        example: A request in Perennial's own protocol that works; None: there is none.
        alone: Whether it is the only one of its server.
    """
    fields = [field.name for field in schema.fields]
    split = {
        "type": "object",
        "properties": {
            "columns": {"type": "array", "items": {"enum": fields}},
            "data": {"type": "array", "items": {"type": "array"}},
            "index": {"type": "array"},
        },
        "required": ["columns", "data"],
    }
    records = {"type": "array", "items": schema.json_schema(), "minItems": 1}
    moment = {"anyOf": [{"type": "string", "format": "date-time"}, {"type": "null"}]}
    params = {"type": "object", "properties": {"at": moment}, "additionalProperties": False}
    forms = {"dataframe_split": split, "dataframe_records": records, "instances": records, "inputs": records}
    body: dict[str, Any] = {
        "schema": {
            "oneOf": [
                {
                    "type": "object",
                    "properties": {form: kind, "params": params},
                    "required": [form],
                    "additionalProperties": False,
                }
                for form, kind in forms.items()
            ]
        }
    }
    if example:
        at = {"params": {"at": example["at"]}} if example.get("at") else {}
        body["example"] = {"dataframe_records": example["examples"], **at}
    content = {"application/json": body, "text/csv": {"schema": {"type": "string"}}}
    paths = {f"/mlflow/{name}/invocations": f"mlflow_{name}"} | ({"/invocations": "invocations"} if alone else {})
    return {
        path: {
            "post": {
                "operationId": operation,
                "summary": "Predictions (MLflow's scoring protocol)",
                "requestBody": {"required": True, "content": content},
            }
        }
        for path, operation in paths.items()
    }
