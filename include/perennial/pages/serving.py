"""The page of predictions on request: which version serves, what was answered, and a form that sends a request."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from fastapi import APIRouter, Depends, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, Response

from perennial.errors import PerennialError
from perennial.pages import prediction_server
from perennial.pages.access import UseCaseDep, from_our_own_page
from perennial.pages.layout import page
from perennial.pages.prediction_server import RequestForm
from perennial.pages.requests import sent_fields
from perennial.served_predictions import traffic
from perennial.serving.requests import predict_path
from perennial.use_case import UseCase

router = APIRouter(prefix="/use_cases/{use_case}/serving")

#: The field of the moment that is predicted for; no column of examples has a name with a colon.
AT = ":at"
#: What the fields of an example's own columns begin with.
_COLUMN = "example:"
#: How far back the page looks, in hours of processing time, and the most that it can be told to.
_HOURS, _MOST_HOURS = 24, 24 * 31


@dataclass(frozen=True)
class TypedField:
    """A field of the form.

    Attributes:
        name: The field of an example.
        value: What was typed; at first the value of a real example.
        hint: Its type, and whether it may be empty.
        problem: What is wrong with the value.
    """

    name: str
    value: str
    hint: str
    problem: str = ""

    @property
    def id(self) -> str:
        """Its name in the form."""
        return f"{_COLUMN}{self.name}"


@dataclass(frozen=True)
class View:
    """What the page shows of the server.

    Attributes:
        outage: Why the server was not asked, and what to do; None: it answers.
        state: What it says of the use case: `model_version`, `ledger_version`, `problem`, and where one is
            tried beside it `challenger`, `stage`, `challenger_problem`; None: it does not serve it.
        form: What a request holds; None: the person may not ask, or no version serves.
        refusal: Why there is no form.
    """

    outage: PerennialError | None = None
    state: Mapping[str, Any] | None = None
    form: RequestForm | None = None
    refusal: str = ""


@dataclass(frozen=True)
class Attempt:
    """A request that the person sent.

    Attributes:
        typed: What was typed, by the name of the field; empty: nothing was sent yet.
        status: The server's status; 0: nothing was sent.
        answer: Its body.
    """

    typed: Mapping[str, str] = field(default_factory=dict)
    status: int = 0
    answer: Mapping[str, Any] = field(default_factory=dict)

    @property
    def prediction(self) -> Mapping[str, Any] | None:
        """The prediction; None: there is none."""
        return self.answer["predictions"][0] if self.status == httpx.codes.OK else None

    def problem_of(self, name: str) -> str:
        """What the server says about a field."""
        problems = self.answer.get("problems", ())
        return "; ".join(each["message"] for each in problems if each["path"].partition(".")[2] == name)


@router.get("")
async def show(request: Request, use_case: UseCaseDep) -> HTMLResponse:
    """What serves, and the form, filled with a real example.

    Args:
        request: Tells who asks.
        use_case: Whose.
    """
    return await _page(request, use_case, await _view(request, use_case), Attempt())


@router.post("", dependencies=[Depends(from_our_own_page)])
async def send(request: Request, use_case: UseCaseDep) -> Response:
    """Send one example to the server, and show its answer above the form.

    Args:
        request: Its form is what was typed; the person is taken from it.
        use_case: Whose.

    Raises:
        HTTPException: what was sent is no form.
    """
    typed = await sent_fields(request)
    view = await _view(request, use_case)
    if view.form is None:
        return await _page(request, use_case, view, Attempt(typed), 503)
    body: dict[str, Any] = {"examples": [example_of(view.form, typed)], "features": True}
    if moment := typed.get(AT, "").strip():
        body["at"] = moment
    response = await prediction_server.call(request, "POST", predict_path(use_case.name), body)
    attempt = Attempt(typed, response.status_code, response.json())
    return await _page(request, use_case, view, attempt, 200 if response.is_success else response.status_code)


def example_of(form: RequestForm, typed: Mapping[str, str]) -> dict[str, Any]:
    """The example that was typed.

    Args:
        form: What a request holds.
        typed: What was typed, by the name of the field. Of a field that may be left out, nothing typed leaves it out;
            of another one it is null, of which the server says whether it may be.
    """
    example: dict[str, Any] = {}
    for name, schema in form.properties.items():
        text = typed.get(f"{_COLUMN}{name}", "")
        if text.strip() or name in form.required:
            example[name] = _value(schema, text)
    return example


def fields_of(form: RequestForm, attempt: Attempt) -> list[TypedField]:
    """The fields of the form, with what was typed or, at first, a real example.

    Args:
        form: What a request holds.
        attempt: What was sent.
    """
    real = (form.example.get("examples") or [{}])[0]
    shown = []
    for name, schema in form.properties.items():
        # A request that is only tried is not about the example that it was copied from.
        value = attempt.typed.get(f"{_COLUMN}{name}", "") if attempt.typed else ""
        if not attempt.typed and name in form.required:
            value = _text(real.get(name))
        shown.append(TypedField(name, value, _hint(schema, name in form.required), attempt.problem_of(name)))
    return shown


async def _view(request: Request, use_case: UseCase) -> View:
    try:
        ready = await prediction_server.call(request, "GET", "/ready")
        described = await prediction_server.call(request, "GET", "/openapi.json")
    except PerennialError as error:
        return View(outage=error)
    state = ready.json()["use_cases"].get(use_case.name)
    if state is None:
        return View(refusal="The server that answers does not serve this use case.")
    if not described.is_success:
        return View(state=state, refusal=described.json().get("message", f"It answered {described.status_code}."))
    form = RequestForm.of(described.json(), use_case.name)
    missing = "No version serves yet, or your role in Airflow does not let you ask for predictions."
    return View(state=state, form=form, refusal="" if form else missing)


async def _page(request: Request, use_case: UseCase, view: View, attempt: Attempt, status: int = 200) -> HTMLResponse:
    hours = _hours(request)
    since = datetime.now(UTC) - timedelta(hours=hours)
    content = {
        "use_case": use_case,
        "view": view,
        "attempt": attempt,
        "fields": fields_of(view.form, attempt) if view.form else [],
        "at_field": AT,
        "at": _moment(view, attempt),
        "hours": hours,
        "traffic": await run_in_threadpool(traffic.since, use_case, since),
    }
    return page(request, "serving", status, **content)


def _moment(view: View, attempt: Attempt) -> str:
    if attempt.typed:
        return attempt.typed.get(AT, "")
    return str(view.form.example.get("at", "")) if view.form else ""


def _hours(request: Request) -> int:
    """How far back the page looks."""
    asked = request.query_params.get("hours", "")
    return min(max(int(asked), 1), _MOST_HOURS) if asked.isdecimal() and len(asked) < 6 else _HOURS


def _kinds(schema: Mapping[str, Any]) -> set[str]:
    """The JSON types that a field takes."""
    own = schema.get("type", ())
    kinds = {own} if isinstance(own, str) else set(own)
    return kinds.union(*(_kinds(each) for each in schema.get("anyOf", ())))


def _hint(schema: Mapping[str, Any], required: bool) -> str:
    kinds = _kinds(schema)
    nullable = "null" in kinds
    words = " or ".join(sorted(kinds - {"null"}))
    if not required:
        return f"{words}; may be left out"
    return f"{words}; empty: null" if nullable else words


def _value(schema: Mapping[str, Any], text: str) -> Any:
    """The text as a value of JSON; what cannot be read stays text, and the server says what is wrong with it."""
    kinds = _kinds(schema)
    if not text.strip():
        return None
    if "string" in kinds:
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _text(value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return json.dumps(value)
