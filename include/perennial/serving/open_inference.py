"""The Open Inference Protocol, version 2, in which KServe, Triton, MLServer and their clients ask.

A field of the use case's request is an input tensor of that name with one element an example. Nulls, which the protocol
does not know, are JSON's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import version as version_of
from typing import Annotated, Any, Literal, get_args

import msgspec
import pyarrow as pa
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from perennial.errors import InvalidExamples
from perennial.serving.answers import Prediction, PredictionResponse
from perennial.serving.champions import Champions
from perennial.serving.request_schema import MAX_EXAMPLES, Problem, RequestField, RequestSchema, explain
from perennial.serving.requests import ErrorResponse, MalformedBody, Moment, PredictionRequest
from perennial.serving.responses import Answer, json_response
from perennial.use_case.classes import PROBABILITY

#: Where the protocol's routes are.
PREFIX = "/v2"

Datatype = Literal[
    "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "FP32", "FP64", "BYTES"
]
#: Of the answer: their names, types and how they are read from a prediction.
_OUTPUTS: dict[str, tuple[Datatype, Any]] = {
    "prediction": ("FP64", lambda prediction: prediction.prediction),
    "prediction_id": ("BYTES", lambda prediction: prediction.prediction_id),
    "missing": ("BYTES", lambda prediction: msgspec.json.encode(prediction.missing).decode()),
}


def _outputs(classes: Sequence[str]) -> dict[str, tuple[Datatype, Any]]:
    """The outputs; of several classes the prediction is a name, and each class's probability is an output."""
    if not classes:
        return _OUTPUTS
    of_class: dict[str, tuple[Datatype, Any]] = {"prediction": ("BYTES", _OUTPUTS["prediction"][1])}
    return _OUTPUTS | of_class | {f"{PROBABILITY}{name}": ("FP64", _probability(name)) for name in classes}


def _probability(name: str) -> Callable[[Prediction], float | None]:
    return lambda prediction: (prediction.probabilities or {}).get(name)


class Tensor(msgspec.Struct, frozen=True):
    """One field of all examples, or one output.

    Attributes:
        name: The field.
        shape: `[n]` or `[n, 1]`; of a field that holds lists `[n, length]`.
        datatype: Of its elements; text, times, dates and decimals are BYTES.
        data: The elements, nested by the shape or flat; null where none is known.
    """

    name: str
    shape: list[Annotated[int, msgspec.Meta(ge=0)]]
    datatype: Datatype
    data: list[Any]


class RequestedOutput(msgspec.Struct, frozen=True):
    """An output that the caller wants."""

    name: str


class InferenceRequest(msgspec.Struct, frozen=True):
    """A request; what extensions of the protocol add to it is ignored.

    Attributes:
        inputs: The fields of the examples.
        id: Comes back with the answer.
        parameters: `at` means what it does in Perennial's own protocol; others are ignored.
        outputs: Which outputs are wanted; None: all.
    """

    inputs: list[Tensor]
    id: str | None = None
    parameters: dict[str, Any] = {}
    outputs: list[RequestedOutput] | None = None


class OpenInference:
    """The protocol's routes.

    Args:
        champions: The versions that serve.
        answer: Answers a request of any protocol.
        check_access: Lets a caller ask about a use case, or raises.
    """

    def __init__(self, champions: Champions, answer: Answer, check_access: Any) -> None:
        self._champions = champions
        self._answer = answer
        self._check_access = check_access

    def routes(self) -> Iterator[Route]:
        """All routes."""
        yield Route(PREFIX, self.server)
        yield Route(f"{PREFIX}/health/live", self.live)
        yield Route(f"{PREFIX}/health/ready", self.ready)
        for path in (f"{PREFIX}/models/{{use_case}}", f"{PREFIX}/models/{{use_case}}/versions/{{version}}"):
            yield Route(path, self.model)
            yield Route(f"{path}/ready", self.model_ready)
            yield Route(f"{path}/infer", self.infer, methods=["POST"])

    async def server(self, request: Request) -> Response:
        """What this server is; for everybody."""
        return json_response({"name": "perennial", "version": version_of("perennial"), "extensions": []})

    async def live(self, request: Request) -> Response:
        """Whether this process answers at all; for everybody."""
        return json_response({"live": True})

    async def ready(self, request: Request) -> Response:
        """Whether every use case has a version that serves; for everybody."""
        ready = self._champions.are_ready()
        return json_response({"ready": ready}, 200 if ready else 503)

    async def model_ready(self, request: Request) -> Response:
        """Whether a use case has a version that serves, or this version of it; for everybody."""
        name, asked = self._use_case(request), _version(request)
        serving = self._champions.state()[name].model_version
        ready = serving is not None and asked in (None, serving)
        return json_response({"name": name, "ready": ready}, 200 if ready else 503)

    async def model(self, request: Request) -> Response:
        """The inputs and outputs of a use case, with their types."""
        await self._check_access(request, request.path_params["use_case"])
        version = self._champions.version(self._use_case(request), _version(request))
        return json_response(
            {
                "name": version.use_case.name,
                "versions": [str(version.number)],
                "platform": "perennial",
                "inputs": [_described(field) for field in version.request.fields],
                "outputs": [
                    {"name": name, "datatype": datatype, "shape": [-1]}
                    for name, (datatype, _) in _outputs(version.use_case.classes).items()
                ],
            }
        )

    async def infer(self, request: Request) -> Response:
        """Predict the examples of a request."""
        received: list[InferenceRequest] = []
        asked = _version(request)
        name = request.path_params["use_case"]

        def read(body: bytes) -> PredictionRequest:
            if "inference-header-content-length" in request.headers:
                raise HTTPException(400, "Send the tensors as JSON: the binary extension is not supported.")
            received.append(decode(body))
            version = self._champions.version(name)
            check_outputs(received[0], version.use_case.classes)
            return prediction_request(received[0], version.request, asked)

        response = await self._answer(request, name, read)
        return json_response(inference_response(received[0], response))

    def _use_case(self, request: Request) -> str:
        name = request.path_params["use_case"]
        if name not in self._champions.names:
            raise HTTPException(404, f"This server does not serve a model {name!r}.")
        return name


def decode(body: bytes) -> InferenceRequest:
    """The request that a body holds; its tensors are not checked yet.

    Raises:
        MalformedBody: it is no JSON.
        InvalidExamples: it is no request of the protocol.
    """
    try:
        request = msgspec.json.decode(body, type=InferenceRequest)
    except msgspec.ValidationError as error:
        within, message = explain(error)
        raise _invalid([(within.lstrip(".") or "request", message)]) from error
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        raise MalformedBody(str(error)) from error
    return request


def check_outputs(request: InferenceRequest, classes: Sequence[str]) -> None:
    """Refuse a request for an output that there is not.

    Args:
        request: As it was received.
        classes: Of a multi-class use case.

    Raises:
        InvalidExamples: naming it.
    """
    outputs = _outputs(classes)
    if unknown := [each.name for each in request.outputs or () if each.name not in outputs]:
        raise _invalid([("outputs", f"there is no output {unknown[0][:60]!r}: ask for {', '.join(outputs)}")])


def prediction_request(request: InferenceRequest, schema: RequestSchema, version: int | None) -> PredictionRequest:
    """The request in Perennial's own form; its examples are not checked against the schema yet.

    Args:
        request: As it was received.
        schema: The use case's fields: which of them hold lists.
        version: The version that is to answer; None: the champion.

    Raises:
        InvalidExamples: a tensor's data has not its shape or its datatype, a name is given twice, there are too many
            examples, or `at` is no moment.
    """
    lists = {field.name for field in schema.fields if _is_list(field.type)}
    rows = request.inputs[0].shape[0] if request.inputs and request.inputs[0].shape else 0
    if rows > MAX_EXAMPLES:
        raise _invalid([("inputs[0].shape", f"expected at most {MAX_EXAMPLES} examples, got {rows}")])
    columns: dict[str, list[Any]] = {}
    for number, tensor in enumerate(request.inputs):
        if tensor.name in columns:
            raise _invalid([(f"inputs[{number}].name", f"{tensor.name[:60]!r} is given twice")])
        columns[tensor.name] = _values(f"inputs[{number}]", tensor, rows, tensor.name in lists)
    return PredictionRequest(
        [{name: values[row] for name, values in columns.items()} for row in range(rows)],
        at=_moment(request.parameters.get("at")),
        model_version=version,
    )


def inference_response(request: InferenceRequest, response: PredictionResponse) -> dict[str, Any]:
    """The answer in the protocol's form."""
    outputs = _outputs(list(response.predictions[0].probabilities or ()) if response.predictions else ())
    wanted = [each.name for each in request.outputs] if request.outputs else list(outputs)
    answer: dict[str, Any] = {
        "model_name": response.use_case,
        "model_version": str(response.model_version),
        "outputs": [_output(name, *outputs[name], response.predictions) for name in dict.fromkeys(wanted)],
    }
    return answer if request.id is None else {**answer, "id": request.id}


def error_body(status: int, error: ErrorResponse) -> dict[str, str]:
    """An error in the protocol's form, which knows only text."""
    return {"error": f"{error.message} {error.fix}".strip()}


def datatype_of(kind: pa.DataType) -> Datatype:
    """The datatype of a lake column's elements in tensors."""
    if _is_list(kind):
        return datatype_of(kind.value_type)
    if pa.types.is_boolean(kind):
        return "BOOL"
    prefix = "FP" if pa.types.is_floating(kind) else "INT" if pa.types.is_integer(kind) else None
    names: tuple[Datatype, ...] = get_args(Datatype)
    return next((name for name in names if prefix and name == f"{prefix}{kind.bit_width}"), "BYTES")


def _described(field: RequestField) -> dict[str, Any]:
    return {
        "name": field.name,
        "datatype": datatype_of(field.type),
        "shape": [-1, -1] if _is_list(field.type) else [-1],
        "parameters": {"required": field.required, "nullable": field.nullable},
    }


def _output(name: str, datatype: Datatype, read: Any, predictions: list[Prediction]) -> dict[str, Any]:
    return {
        "name": name,
        "shape": [len(predictions)],
        "datatype": datatype,
        "data": [read(each) for each in predictions],
    }


def _values(path: str, tensor: Tensor, rows: int, holds_lists: bool) -> list[Any]:
    """The values of a field, one an example."""
    if not tensor.shape or tensor.shape[0] != rows or len(tensor.shape) > 2:
        raise _invalid([(f"{path}.shape", f"expected [{rows}] or [{rows}, 1], got {tensor.shape[:8]}")])
    width = tensor.shape[1] if len(tensor.shape) == 2 else 1
    flat = [element for each in tensor.data for element in (each if isinstance(each, list) else [each])]
    if len(flat) != rows * width:
        raise _invalid([(f"{path}.data", f"{len(flat)} elements do not fill the shape {tensor.shape}")])
    for number, element in enumerate(flat):
        if not _is_of(element, tensor.datatype):
            raise _invalid([(f"{path}.data[{number}]", f"expected {tensor.datatype} or null")])
    if width == 1 and not (holds_lists and len(tensor.shape) == 2):
        return flat
    return [flat[row * width : (row + 1) * width] for row in range(rows)]


def _is_of(element: Any, datatype: Datatype) -> bool:
    """Whether an element is of a datatype; how large an integer may be is a question of the field."""
    if element is None:
        return True
    if datatype in ("BOOL", "BYTES"):
        return isinstance(element, bool if datatype == "BOOL" else str)
    is_number = isinstance(element, int | float) and not isinstance(element, bool)
    return is_number and (datatype.startswith("FP") or isinstance(element, int))


def _is_list(kind: pa.DataType) -> bool:
    return pa.types.is_list(kind) or pa.types.is_large_list(kind)


def _moment(value: Any) -> Moment | None:
    try:
        return msgspec.convert(value, Moment | None)
    except msgspec.ValidationError as error:
        raise _invalid([("parameters.at", explain(error)[1])]) from error


def _version(request: Request) -> int | None:
    """The version that the path names; None: none."""
    text: str | None = request.path_params.get("version")
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise HTTPException(404, f"{text[:60]!r} is no version: versions are whole numbers.")
    return int(text)


def _invalid(problems: list[Problem]) -> InvalidExamples:
    listed = "; ".join(f"{path}: {message}" for path, message in problems)
    return InvalidExamples(
        f"The request is invalid: {listed}.", f"`GET {PREFIX}/models/NAME` names the inputs and their types.", problems
    )


def operations(
    name: str, schema: RequestSchema, example: Mapping[str, Any] | None, classes: Sequence[str] = ()
) -> dict[str, Any]:
    """The paths of one use case for OpenAPI, by method.

    Args:
        name: The use case.
        schema: Its fields.
        example: A request in Perennial's own protocol that works; None: there is none.
        classes: Of a multi-class use case.
    """
    tensor = {
        "type": "object",
        "properties": {
            "name": {"enum": [field.name for field in schema.fields]},
            "shape": {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 1, "maxItems": 2},
            "datatype": {"enum": list(get_args(Datatype))},
            "data": {"type": "array"},
        },
        "required": ["name", "shape", "datatype", "data"],
    }
    moment = {"anyOf": [{"type": "string", "format": "date-time"}, {"type": "null"}]}
    properties = {
        "id": {"type": "string"},
        "inputs": {"type": "array", "items": tensor, "minItems": 1},
        "parameters": {"type": "object", "properties": {"at": moment}},
        "outputs": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"name": {"enum": list(_outputs(classes))}},
                "required": ["name"],
            },
        },
    }
    body: dict[str, Any] = {"schema": {"type": "object", "properties": properties, "required": ["inputs"]}}
    if example:
        body["example"] = _as_tensors(schema, example)
    path = f"{PREFIX}/models/{name}"
    return {
        path: {"get": {"operationId": f"metadata_{name}", "summary": "Inputs and outputs (Open Inference Protocol)"}},
        f"{path}/ready": {"get": {"operationId": f"ready_{name}", "summary": "Ready (Open Inference Protocol)"}},
        f"{path}/infer": {
            "post": {
                "operationId": f"infer_{name}",
                "summary": "Predictions (Open Inference Protocol)",
                "requestBody": {"required": True, "content": {"application/json": body}},
            }
        },
    }


def _as_tensors(schema: RequestSchema, example: Mapping[str, Any]) -> dict[str, Any]:
    """A request of Perennial's own protocol in this one; a field that holds a list is left out of none."""
    (row,) = example["examples"]
    inputs = []
    for field in schema.fields:
        if field.name in row:
            value = row[field.name]
            shape = [1, len(value)] if isinstance(value, list) else [1]
            inputs.append({"name": field.name, "shape": shape, "datatype": datatype_of(field.type), "data": [value]})
    return {"inputs": inputs} | ({"parameters": {"at": example["at"]}} if example.get("at") else {})
