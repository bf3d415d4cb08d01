"""Makes the fields of a form from a model of parameters, and parses what was typed into them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ValidationError

from perennial.errors import InvalidPartition
from perennial.use_case import UseCase

Kind = Literal["choice", "checkbox", "text"]

#: Parameters whose values are names of partitions.
_PARTITIONS = ("window_start", "window_end")
#: The longest text that a field takes; a reason is for people to read.
LONGEST = 500
#: How often lists and objects in a field may be nested: whoever reads them goes through them by recursion.
_DEEPEST = 20


@dataclass(frozen=True)
class Field:
    """One field of a form.

    Attributes:
        kind: `choice`: one of `options`; `checkbox`; `text`: a line.
        hint: What it does, and what applies if it is left empty.
        value: Its content; of a checkbox `true` or empty.
        options: Values and their labels.
        problem: What is wrong with the value.
    """

    name: str
    kind: Kind
    hint: str
    value: str = ""
    options: tuple[tuple[str, str], ...] = ()
    problem: str = ""

    @property
    def label(self) -> str:
        """Its label on the page."""
        return {"to": "Version"}.get(self.name, self.name.replace("_", " ").capitalize())


def fields(
    model: type[BaseModel], names: Iterable[str], typed: Mapping[str, str], problems: Mapping[str, str]
) -> list[Field]:
    """The fields of a model's parameters.

    Args:
        model: The parameters of a run.
        names: Which of them, in this order.
        typed: What was typed, by name.
        problems: What is wrong with it, by name.
    """
    schema = model.model_json_schema()
    made = []
    for name in names:
        described = schema["properties"][name]
        kind, options = _kind(described, schema.get("$defs", {}))
        default = model.model_fields[name].get_default(call_default_factory=True)
        hint = _hint(described.get("description", ""), default, kind)
        problem = problems.get(name, "")
        value = typed.get(name, "true" if default is True and not typed else "")
        made.append(Field(name, kind, hint, value, options, problem))
    return made


def _kind(schema: dict[str, Any], defs: Mapping[str, Any]) -> tuple[Kind, tuple[tuple[str, str], ...]]:
    variants = [defs[each["$ref"].rpartition("/")[2]] if "$ref" in each else each for each in schema.get("anyOf", ())]
    for each in (schema, *variants):
        if "enum" in each:
            empty = ("", "default")
            return "choice", (empty, *((str(value), str(value)) for value in each["enum"]))
    return ("checkbox", ()) if schema.get("type") == "boolean" else ("text", ())


def _hint(description: str, default: Any, kind: str) -> str:
    if default is None or kind == "checkbox" or "empty:" in description.lower():
        return description
    return f"{description} Empty: {json.dumps(default) if not isinstance(default, str) else default}.".strip()


def parse(use_case: UseCase, model: type[BaseModel], typed: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    """The parameters that were typed, without those left empty; and what is wrong, by name.

    Args:
        use_case: Whose partitions the parameters may name.
        model: The parameters of a run.
        typed: What was typed, by name; other names are ignored, because forms have further fields.
    """
    params: dict[str, Any] = {}
    for name in model.model_fields:
        default = model.model_fields[name].get_default(call_default_factory=True)
        text = typed.get(name, "").strip()
        if isinstance(default, bool):
            if (text == "true") != default:
                params[name] = text == "true"
        elif text:
            params[name] = _value(model, name, text)
    problems = {name: problem for name, value in params.items() if (problem := _problem(typed.get(name, ""), value))}
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


def _problem(text: str, value: Any) -> str:
    """What no field takes, because it cannot be sent to Airflow; empty: nothing is wrong."""
    if len(text) > LONGEST:
        return f"It has {len(text)} characters; at most {LONGEST} are allowed."
    try:
        sent = json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return "It holds NaN, infinity or half a character, or is nested too deeply."
    if b"\\u0000" in sent or _depth(value) > _DEEPEST:
        return f"It holds a null character, or is nested more than {_DEEPEST} times."
    return ""


def _depth(value: Any) -> int:
    if not isinstance(value, dict | list):
        return 0
    return 1 + max(map(_depth, value.values() if isinstance(value, dict) else value), default=0)


def _value(model: type[BaseModel], name: str, text: str) -> Any:
    """The text as the field parses it; where it takes no text, the text as JSON."""
    try:
        return model(**{name: text}).model_dump(mode="json")[name]
    except ValidationError:
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            return text


def reason(typed: Mapping[str, str]) -> tuple[str, str]:
    """The reason that was typed, and what is wrong with it."""
    text = typed.get("reason", "").replace("\r\n", "\n").replace("\x00", "").strip()
    if not text:
        return text, "A reason is required: whoever reads the record later will want to know why."
    if len(text) > LONGEST:
        return text, f"The reason has {len(text)} characters; at most {LONGEST} are allowed."
    return text, ""
