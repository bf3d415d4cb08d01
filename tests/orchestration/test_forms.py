"""A trigger form says of each parameter what its model says, however the model came by its fields."""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from typing import Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field

from perennial import TrainingParams, discovery
from perennial.gate.rollback_plan import RollbackRequest
from perennial.orchestration.forms import form


class Solver(StrEnum):
    FAST = "fast"
    EXACT = "exact"


class Own(TrainingParams):
    depth: int | None = Field(default=None, ge=1, description="Of a tree.")
    rate: float = Field(default=0.1, gt=0, description="Of learning.")
    solver: Literal[Solver.FAST, Solver.EXACT] = Field(default=Solver.FAST, description="How.")
    since: date = Field(default=date(2013, 1, 1), description="When.")


class Nothing(TrainingParams):
    pass


class Redefined(TrainingParams):
    seed: Literal[1, 2] = Field(default=1, description="One of two.")
    force: bool = Field(default=True, description="Always.")
    depth: int = Field(default=3, description="Of a tree.")


class Grandchild(Redefined):
    depth: int = Field(default=4, title="Depth", description="Of a deeper tree.")


class Mixin(BaseModel):
    seed: int = Field(default=7, description="The mixin's.")
    alpha: float = Field(default=1.0, description="The mixin's too.")


class MixinBefore(Mixin, TrainingParams):
    depth: int = 3


class MixinBehind(TrainingParams, Mixin):
    depth: int = 3


class ReadOtherwise(TrainingParams):
    model_config = ConfigDict(alias_generator=str.upper)
    depth: int = Field(default=3, description="Of a tree.")


MODELS = (Own, Nothing, Redefined, Grandchild, MixinBefore, MixinBehind, ReadOtherwise, TrainingParams, RollbackRequest)


def form_fields(params: type[BaseModel]) -> dict[str, dict[str, Any]]:
    """What the model itself says of each field, with what a union says in one place."""
    fields = params.model_json_schema()["properties"]
    for field in fields.values():
        options = field.pop("anyOf", [])
        for option in options:
            field |= option
        if options:
            field["type"] = [option["type"] for option in options]
    return fields


@pytest.mark.parametrize("params", [*MODELS, *(discovery.load(name).params for name in ("flights", "energy"))])
def test_a_form_says_what_the_model_says(params: type[BaseModel]) -> None:
    made, expected = form(params), form_fields(params)
    assert list(made) == list(expected), "in the same order"
    for name, param in made.items():
        assert param.description == expected[name].pop("description", None)
        assert param.value == expected[name].pop("default", param.value)
        if "enum" in expected[name] and "null" in expected[name]["type"]:
            expected[name]["enum"] += [None]
        assert param.schema == expected[name]


def test_a_parameter_without_a_default_is_required() -> None:
    assert not form(RollbackRequest)["reason"].has_value


def test_a_form_belongs_to_one_dag() -> None:
    one, other = form(Own), form(Own)
    one["seed"].value = 1
    one["seed"].schema["maximum"] = 1
    assert other["seed"].value == form(Nothing)["seed"].value == TrainingParams().seed
    assert other["seed"].schema["maximum"] == 2**32 - 1
