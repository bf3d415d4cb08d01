"""Trigger forms: what can be said to a run, as Airflow shows and checks it, made of a model of parameters."""

from __future__ import annotations

from functools import cache
from inspect import get_annotations
from typing import Any

from airflow.sdk import Param
from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core.core_schema import ModelFieldsSchema

from perennial.use_case import TrainingParams


def form(params: type[BaseModel]) -> dict[str, Param]:
    """The trigger form of a pipeline: one typed, documented field for each parameter, required if it has no default."""
    return {name: Param(**field) for name, field in _fields(params).items()}


def reason() -> dict[str, Param]:
    """What is asked beside a yes or a no. Not required: whoever answers over REST need not know of it."""
    said = "Why; it is kept in the ledger."
    return {"reason": Param(None, title="reason", description=said, type=["null", "string"])}


@cache
def _fields(params: type[BaseModel]) -> dict[str, dict[str, Any]]:
    """What `Param` takes, for each field in the model's order.

    Every use case has a model of its own, and most of its fields from `TrainingParams`, whose schemas are made once:
    they are what takes longest in parsing, beside Airflow's own objects.
    """
    inherited = _inherited(params)
    properties = params.model_json_schema(schema_generator=_passing_over(inherited))["properties"]
    own = {name: _field(name, dict(schema)) for name, schema in properties.items()}
    return _fields(TrainingParams) | own if inherited else own


def _inherited(params: type[BaseModel]) -> frozenset[str]:
    """The fields that `params` has from `TrainingParams` as they are; none if it could read them otherwise."""
    line, base = params.__mro__, TrainingParams.__mro__
    heirs = line[: -len(base)]
    if not heirs or line[-len(base) :] != base or params.model_config != TrainingParams.model_config:
        return frozenset()
    return frozenset(TrainingParams.model_fields).difference(*map(get_annotations, heirs))


@cache
def _passing_over(inherited: frozenset[str]) -> type[GenerateJsonSchema]:
    """A generator of a model's JSON schema without these fields."""

    class Generator(GenerateJsonSchema):
        def model_fields_schema(self, schema: ModelFieldsSchema) -> JsonSchemaValue:
            fields = {name: field for name, field in schema["fields"].items() if name not in inherited}
            return super().model_fields_schema({**schema, "fields": fields})

        def encode_default(self, dft: Any) -> Any:
            # Pydantic makes a serializer for each default; these are JSON as they are.
            return dft if dft is None or type(dft) in (bool, int, str) else super().encode_default(dft)

    return Generator


def _field(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    # Pydantic says "string or null" as anyOf, the form wants it as a list of types.
    options = schema.pop("anyOf", None)
    if options:
        schema |= {key: value for option in options for key, value in option.items() if key != "type"}
        schema["type"] = [option["type"] for option in options]
        if "enum" in schema and "null" in schema["type"]:
            schema["enum"] = [*schema["enum"], None]
    return {"title": name} | schema
