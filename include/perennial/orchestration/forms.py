"""Trigger forms: Airflow's typed fields for the parameters of a run, made from a Pydantic model."""

from __future__ import annotations

from functools import cache
from inspect import get_annotations
from typing import Any

from airflow.sdk import DAG, Param
from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core.core_schema import ModelFieldsSchema

from perennial.use_case import TrainingParams


def add_form(dag: DAG, params: type[BaseModel]) -> None:
    """Give a DAG its trigger form. Called last: each task gets a copy of the params that its DAG has before it.

    Args:
        dag: The DAG with all its tasks.
        params: The parameters of a run.
    """
    dag.params.update(form(params))


def form(params: type[BaseModel]) -> dict[str, Param]:
    """The trigger form of a pipeline: one typed, documented field for each parameter, required if it has no default."""
    return {name: Param(**field) for name, field in _fields(params).items()}


@cache
def _fields(params: type[BaseModel]) -> dict[str, dict[str, Any]]:
    """What `Param` takes, for each field in the model's order.

    The models of all use cases inherit most of their fields from `TrainingParams`. The schemas of those are made once:
    after Airflow's own objects, making schemas takes the most time in parsing a DAG file.
    """
    inherited = _inherited(params)
    properties = params.model_json_schema(schema_generator=_schema_without(inherited))["properties"]
    own = {name: _field(name, dict(schema)) for name, schema in properties.items()}
    return _fields(TrainingParams) | own if inherited else own


def _inherited(params: type[BaseModel]) -> frozenset[str]:
    """The fields that `params` inherits unchanged from `TrainingParams`; none if it might alter their schemas."""
    bases, inherited = params.__mro__, TrainingParams.__mro__
    subclasses = bases[: -len(inherited)]
    if not subclasses or bases[-len(inherited) :] != inherited or params.model_config != TrainingParams.model_config:
        return frozenset()
    return frozenset(TrainingParams.model_fields).difference(*map(get_annotations, subclasses))


@cache
def _schema_without(inherited: frozenset[str]) -> type[GenerateJsonSchema]:
    """A generator of a model's JSON schema that leaves these fields out."""

    class Generator(GenerateJsonSchema):
        def model_fields_schema(self, schema: ModelFieldsSchema) -> JsonSchemaValue:
            fields = {name: field for name, field in schema["fields"].items() if name not in inherited}
            return super().model_fields_schema({**schema, "fields": fields})

        def encode_default(self, dft: Any) -> Any:
            # Pydantic makes a serializer for each default; these are JSON as they are.
            return dft if dft is None or type(dft) in (bool, int, str) else super().encode_default(dft)

    return Generator


def _field(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    # Pydantic writes "string or null" as anyOf; the form needs a list of types.
    options = schema.pop("anyOf", None)
    if options:
        schema |= {key: value for option in options for key, value in option.items() if key != "type"}
        schema["type"] = [option["type"] for option in options]
        if "enum" in schema and "null" in schema["type"]:
            schema["enum"] = [*schema["enum"], None]
    return {"title": name} | schema
