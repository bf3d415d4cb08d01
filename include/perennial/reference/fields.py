"""docs/settings.md and docs/use_case_fields.md: the fields of Pydantic models, their types, defaults and bounds."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from perennial import use_case as vocabulary
from perennial.reference.markdown import page, paragraphs, table
from perennial.settings import Settings, variable

_SIGNS = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}
PARTS = (
    vocabulary.UseCase,
    vocabulary.RawTable,
    vocabulary.FeatureTable,
    vocabulary.Examples,
    vocabulary.Ahead,
    vocabulary.Value,
    vocabulary.PredictionInterval,
    vocabulary.Gate,
    vocabulary.DriftPolicy,
    vocabulary.ColumnPolicy,
    vocabulary.Retraining,
    vocabulary.ServingPolicy,
    vocabulary.Refresh,
    vocabulary.Deadlines,
    vocabulary.Rollout,
    vocabulary.CanaryStage,
    vocabulary.TrainingParams,
    vocabulary.Search,
    vocabulary.Range,
)


def settings() -> str:
    """docs/settings.md."""
    rows = [
        (f"`{variable(name)}`", f"`{_type(field)}`", _default(field), _meaning(field))
        for name, field in Settings.model_fields.items()
    ]
    return page(
        "Settings",
        "Where things are. Each is an environment variable of every process: command line, Airflow's parts, workers."
        " `perennial doctor` shows which are set and whether they work. `PERENNIAL_USER` and `PERENNIAL_PASSWORD` are"
        " the login of the embedded servers, where you bring your own.",
        table(("variable", "type", "default", "meaning"), rows),
    )


def use_case() -> str:
    """docs/use_case_fields.md."""
    parts = []
    for model in PARTS:
        parts += [f"## {model.__name__}", "", paragraphs(model.__doc__), "", *of(model), ""]
    return page(
        "Fields of a use case",
        "What `use_case.py` may declare. All of it is frozen, and an unknown field is an error that names it."
        " [add_a_use_case.md](add_a_use_case.md) walks through one; `timedelta` is Python's.",
        parts,
    )


def of(model: type[BaseModel]) -> list[str]:
    """The fields of a model as the lines of a table."""
    rows = [
        (f"`{name}`", f"`{_type(field)}`", _default(field), _meaning(field))
        for name, field in model.model_fields.items()
    ]
    return table(("field", "type", "default", "meaning"), rows)


def _type(field: FieldInfo) -> str:
    """The annotation as somebody would write it."""
    annotation = field.annotation
    written = annotation.__name__ if isinstance(annotation, type) and "[" not in str(annotation) else str(annotation)
    return re.sub(r"\b(?:[a-z_]+\.)+([A-Za-z_]+)", r"\1", written).replace("NoneType", "None")


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "must be given"
    value = field.get_default(call_default_factory=True)
    if value is PydanticUndefined or value is None:
        return "none"
    if isinstance(value, BaseModel):
        return "its own defaults"
    if isinstance(value, type):
        return f"`{value.__name__}`"
    if isinstance(value, Path):
        return "see there" if value.is_absolute() else f"`{value}`"
    if value in ("", (), {}):
        return "empty"
    return f"`{_plain(value)}`"


def _meaning(field: FieldInfo) -> str:
    """The meaning, with the bounds."""
    return " ".join([field.description or "", *_bounds(field)]).strip()


def _bounds(field: FieldInfo) -> Iterator[str]:
    bounds = [
        f"{word} {_plain(getattr(bound, name))}"
        for bound in field.metadata
        for name, word in _SIGNS.items()
        if getattr(bound, name, None) is not None
    ]
    if bounds:
        yield f"({', '.join(bounds)})"


def _plain(value: Any) -> str:
    return "0" if value == timedelta(0) else str(value)
