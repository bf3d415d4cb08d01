"""The pages of docs/ that are written from the code: commands, settings, fields of a use case, parameters of the DAGs.

python -m perennial.reference docs
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from perennial import pipelines, use_case
from perennial.settings import Settings, variable

_NOTE = "<!-- Written by `make docs` from the code; edit that. -->"
_SIGNS = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}
PARTS = (
    use_case.UseCase,
    use_case.RawTable,
    use_case.FeatureTable,
    use_case.Examples,
    use_case.Gate,
    use_case.DriftPolicy,
    use_case.ColumnPolicy,
    use_case.Retraining,
    use_case.TrainingParams,
)


def pages() -> dict[str, Callable[[], str]]:
    """File in docs/ -> what writes it."""
    from perennial.cli import reference as cli

    return {"cli.md": cli.markdown, "settings.md": settings, "use_case_fields.md": fields, "dags.md": dags}


def settings() -> str:
    """docs/settings.md."""
    rows = [
        (f"`{variable(name)}`", f"`{_type(field)}`", _default(field), _told(field))
        for name, field in Settings.model_fields.items()
    ]
    return _page(
        "Settings",
        "Where things are. Each is an environment variable of every process: command line, Airflow's parts, workers."
        " `perennial doctor` shows which are set and whether they work. `PERENNIAL_USER` and `PERENNIAL_PASSWORD` are"
        " the login of the embedded servers, where you bring your own.",
        _table(("variable", "type", "default", "meaning"), rows),
    )


def fields() -> str:
    """docs/use_case_fields.md."""
    parts = []
    for model in PARTS:
        parts += [f"## {model.__name__}", "", _paragraphs(model), "", *_of(model), ""]
    return _page(
        "Fields of a use case",
        "What `use_case.py` may declare. All of it is frozen, and an unknown field is an error that names it."
        " [add_a_use_case.md](add_a_use_case.md) walks through one; `timedelta` is Python's.",
        parts,
    )


def dags() -> str:
    """docs/dags.md."""
    example = _Example()
    parts = []
    for pipeline in pipelines.ALL:
        model = pipelines.form(example, pipeline)  # type: ignore[arg-type]
        parts += [f"## USE_CASE.{pipeline}", ""]
        takes = "no partition" if pipeline in pipelines.BY_HAND else "`partition_key`, the partition's name"
        parts += [f"By hand or over REST it takes {takes}{', and as `conf`:' if model else '; no `conf`.'}", ""]
        parts += [*_of(model), ""] if model else []
    return _page(
        "Parameters of the DAGs",
        "What a run of a use case's DAG may be given: in Airflow's trigger form, as `conf` of"
        " `POST /api/v2/dags/USE_CASE.PIPELINE/dagRuns`, or by"
        " `perennial trigger USE_CASE PIPELINE --param NAME=VALUE`."
        " A value out of range is answered with 400 and the reason. A use case adds its estimator's parameters to those"
        " of training. The README shows each call with curl.",
        parts,
    )


class _Example:
    """A use case with no parameters of its own."""

    params = use_case.TrainingParams


def _page(title: str, introduction: str, lines: list[str]) -> str:
    return "\n".join([f"# {title}", "", _NOTE, "", introduction, "", *lines]).rstrip() + "\n"


def _paragraphs(model: type[BaseModel]) -> str:
    paragraphs = (model.__doc__ or "").split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def _of(model: type[BaseModel]) -> list[str]:
    rows = [
        (f"`{name}`", f"`{_type(field)}`", _default(field), _told(field)) for name, field in model.model_fields.items()
    ]
    return _table(("field", "type", "default", "meaning"), rows)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    lines = [head, ("---",) * len(head), *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]


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
        return "the checkout" if value.is_absolute() else f"`{value}`"
    if value in ("", (), {}):
        return "empty"
    return f"`{_plain(value)}`"


def _told(field: FieldInfo) -> str:
    """The meaning, with the bounds."""
    return " ".join([field.description or "", *_bounds(field)]).strip()


def _bounds(field: FieldInfo) -> Iterator[str]:
    said = [
        f"{word} {_plain(getattr(bound, name))}"
        for bound in field.metadata
        for name, word in _SIGNS.items()
        if getattr(bound, name, None) is not None
    ]
    if said:
        yield f"({', '.join(said)})"


def _plain(value: Any) -> str:
    return "0" if value == timedelta(0) else str(value)


def main(folder: str) -> None:
    """Write every page into `folder`."""
    for name, page in pages().items():
        (Path(folder) / name).write_text(page())


if __name__ == "__main__":
    main(*sys.argv[1:])
