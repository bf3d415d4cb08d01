"""The search for a training run's parameters: the values that may be tried, on how many folds, and for how long."""

from __future__ import annotations

import types
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self, Union, get_args, get_origin

from pydantic import Field, ValidationError, field_validator, model_validator

from perennial.use_case.declarations import Declaration, problems

if TYPE_CHECKING:
    from perennial.use_case.definition import TrainingParams

#: A value of a parameter that is one of a few.
Choice = bool | int | float | str


class Range(Declaration):
    """The numbers that a parameter may be searched among: whole ones if the parameter is declared as `int`."""

    low: float = Field(description="The smallest one.")
    high: float = Field(description="The largest one, included.")
    log: bool = Field(default=False, description="Whether they are drawn evenly by order of magnitude.")

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"low {self.low:g} is not below high {self.high:g}")
        if self.log and self.low <= 0:
            raise ValueError(f"low {self.low:g}: a range of orders of magnitude (log) begins above 0")
        return self


class Search(Declaration):
    """How a training run searches for better parameters of its estimator than those that it was given.

    It happens on folds inside the rows to fit on; the gate's holdout is not touched.
    """

    space: dict[str, Range | tuple[Choice, ...]] = Field(
        min_length=1,
        description="Parameter of `params` -> the `Range` of numbers, or the values, that it is searched among."
        " Its default must be one of them.",
    )
    trials: int = Field(
        default=30, ge=2, description="How many sets of parameters are tried, the run's own included, which are first."
    )
    folds: int = Field(
        default=4,
        ge=2,
        description="On how many parts of time each is tried: the later half of the rows to fit on, in order, each"
        " predicted by an estimator that was fitted on what was known before it.",
    )
    timeout: timedelta | None = Field(
        default=None,
        gt=timedelta(0),
        description="No further set is tried when those before have taken this long. None: only `trials` ends it.",
    )

    @field_validator("space")
    @classmethod
    def _has_choices(cls, value: dict[str, Range | tuple[Choice, ...]]) -> dict[str, Range | tuple[Choice, ...]]:
        for name, values in value.items():
            if not isinstance(values, Range) and (len(values) < 2 or len(set(values)) < len(values)):
                raise ValueError(f"{name}: {values} are not two different values or more")
        return value


def check(search: Search, params: type[TrainingParams], known: frozenset[str]) -> None:
    """Refuse a search among values that the parameters' own declaration does not allow.

    Args:
        search: What is declared.
        params: The parameters of a training run of the use case.
        known: Those that every use case has, which say what to train on and are never searched.

    Raises:
        ValueError: a name that is no parameter, a type that has no range, a value out of bounds, or a default that
            cannot be found.
    """
    searchable = [name for name in params.model_fields if name not in known]
    defaults = params()
    for name, values in search.space.items():
        if name not in searchable:
            raise ValueError(f"search.space: {name!r} is not one of the estimator's parameters {searchable}")
        if isinstance(values, Range):
            _check_numbers(params, name, values)
        ends = (values.low, values.high) if isinstance(values, Range) else values
        default = getattr(defaults, name)
        if not (_is_within(values, default) if isinstance(values, Range) else default in values):
            raise ValueError(f"search.space: {name}: the default {default!r} is not among what is searched")
        for end in ends:
            try:
                params(**{name: end})
            except ValidationError as error:
                raise ValueError(f"search.space: {problems(error)}: {end!r}") from error


def _check_numbers(params: type[TrainingParams], name: str, values: Range) -> None:
    kinds = number_types(params, name)
    if not kinds:
        raise ValueError(f"search.space: {name} is not a number; name its values instead of a Range")
    if kinds == {int} and not (values.low.is_integer() and values.high.is_integer()):
        raise ValueError(f"search.space: {name} is a whole number, not {values.low:g} to {values.high:g}")


def _is_within(values: Range, default: Any) -> bool:
    return isinstance(default, int | float) and values.low <= default <= values.high


def number_types(params: type[TrainingParams], name: str) -> set[type]:
    """`int` or `float`, or both, if the parameter is declared as a number; nothing if it is declared otherwise.

    Args:
        params: The parameters of a training run.
        name: One of them.
    """
    annotation = params.model_fields[name].annotation
    alternatives = get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation,)
    kinds = {each for each in alternatives if each is not type(None)}
    return kinds if kinds <= {int, float} else set()
