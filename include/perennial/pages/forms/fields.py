"""What can be typed into a form, made of a model of parameters: a field each, and the values that were meant."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ValidationError

from perennial.errors import InvalidPartition
from perennial.use_case import UseCase

#: Their values are names of partitions.
_PARTITIONS = ("window_start", "window_end")
#: The longest text that a field takes; a reason is for people to read.
LONGEST = 500


@dataclass(frozen=True)
class Field:
    """One field of a form.

    Attributes:
        kind: `choice`: one of `options`; `tick`: a box; `text`: a line.
        hint: What it does, and what holds if it is left empty.
        value: What stands in it; of a box `true` or nothing.
        options: Values and what they are called.
        problem: What is wrong with the value.
    """

    name: str
    kind: Literal["choice", "tick", "text"]
    hint: str
    value: str = ""
    options: tuple[tuple[str, str], ...] = ()
    problem: str = ""

    @property
    def label(self) -> str:
        """What it is called on the page."""
        return {"to": "Version"}.get(self.name, self.name.replace("_", " ").capitalize())


def fields(
    model: type[BaseModel], names: Iterable[str], given: Mapping[str, str], problems: Mapping[str, str]
) -> list[Field]:
    """The fields of a model's parameters.

    Args:
        names: Which of them, in this order.
        given: What was typed.
        problems: What is wrong with it, by name.
    """
    schema = model.model_json_schema()
    found = []
    for name in names:
        held = schema["properties"][name]
        kind, options = _kind(held, schema.get("$defs", {}))
        default = model.model_fields[name].get_default(call_default_factory=True)
        hint = _hint(held.get("description", ""), default, kind)
        problem = problems.get(name, "")
        value = given.get(name, "true" if default is True and not given else "")
        found.append(Field(name, kind, hint, value, options, problem))
    return found


def _kind(
    schema: dict[str, Any], defs: Mapping[str, Any]
) -> tuple[Literal["choice", "tick", "text"], tuple[tuple[str, str], ...]]:
    variants = [defs[each["$ref"].rpartition("/")[2]] if "$ref" in each else each for each in schema.get("anyOf", ())]
    for each in (schema, *variants):
        if "enum" in each:
            empty = ("", "as usual")
            return "choice", (empty, *((str(value), str(value)) for value in each["enum"]))
    return ("tick", ()) if schema.get("type") == "boolean" else ("text", ())


def _hint(description: str, default: Any, kind: str) -> str:
    if default is None or kind == "tick" or "empty:" in description.lower():
        return description
    return f"{description} Empty: {json.dumps(default) if not isinstance(default, str) else default}.".strip()


def meant(use_case: UseCase, model: type[BaseModel], given: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    """The parameters that were typed, without those left empty; and what is wrong, by name.

    A name of none of the model's fields is passed over: forms have further fields.
    """
    params: dict[str, Any] = {}
    for name in model.model_fields:
        default = model.model_fields[name].get_default(call_default_factory=True)
        typed = given.get(name, "").strip()
        if isinstance(default, bool):
            if (typed == "true") != default:
                params[name] = typed == "true"
        elif typed:
            params[name] = _value(model, name, typed)
    problems: dict[str, str] = {}
    try:
        model(**params)
    except ValidationError as error:
        for each in error.errors():
            where = str(each["loc"][0]) if each["loc"] else ""
            problems.setdefault(where, each["msg"].removeprefix("Value error, "))
    for name in _PARTITIONS:
        if name in params and name not in problems:
            try:
                use_case.partition(str(params[name]))
            except InvalidPartition as error:
                problems[name] = str(error)
    return params, problems


def _value(model: type[BaseModel], name: str, typed: str) -> Any:
    """What the field takes the text for; where it does not take a text, what that says as JSON."""
    try:
        return model(**{name: typed}).model_dump(mode="json")[name]
    except ValidationError:
        try:
            return json.loads(typed)
        except ValueError:
            return typed


def reason(given: Mapping[str, str]) -> tuple[str, str]:
    """The reason that was typed, and what is wrong with it."""
    typed = given.get("reason", "").replace("\r\n", "\n").replace("\x00", "").strip()
    if not typed:
        return typed, "A reason is needed: whoever reads of this later will want to know why."
    if len(typed) > LONGEST:
        return typed, f"The reason has {len(typed)} characters; at most {LONGEST} are kept."
    return typed, ""
