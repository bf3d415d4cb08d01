"""docs/python_api.md: what `perennial.__all__` offers to use cases, their tests, feature definitions and notebooks."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import perennial
from perennial.reference.markdown import page, paragraphs

_INTRODUCTION = """\
What a use case, its tests, a file of `feature_repo/` and a notebook may import from `perennial`. Everything else
belongs to the library and may change with any release. The fields of the declarations are in
[use_case_fields.md](use_case_fields.md); [notebook.ipynb](notebook.ipynb) shows the functions for notebooks at work.
"""

_NOTEBOOKS = """\
These functions use the servers of this home wherever they are called, and leave no file behind. A notebook that calls
`mlflow` itself is best started by `perennial run`, for instance `perennial run -- python -m jupyter lab`: without the
environment that this sets, and before `perennial.champion` was called, `mlflow` keeps its records in a new file
`mlflow.db`.
"""


def markdown() -> str:
    """The whole page."""
    offered = {name: getattr(perennial, name) for name in perennial.__all__}
    modules = {name: each for name, each in offered.items() if isinstance(each, ModuleType)}
    functions = {name: each for name, each in offered.items() if inspect.isfunction(each)}
    classes = {name: each for name, each in offered.items() if inspect.isclass(each)}
    parts: list[str] = ["## For notebooks", "", _NOTEBOOKS]
    for name, function in functions.items():
        parts += [f"### {name}", "", "```text", _signature(name, function), "```", "", *_documented(function)]
    parts += ["## Classes", ""]
    for name, declared in classes.items():
        parts += [f"### {name}", "", paragraphs(_summary(declared)), ""]
    parts += ["## Modules", ""]
    for name, module in modules.items():
        parts += [f"### {name}", "", paragraphs(_summary(module)), ""]
        parts += [*(f"- `{name}.{each}`: {_summary(member)}" for each, member in _contents(module)), ""]
    return page("The Python API", _INTRODUCTION, parts)


def _signature(name: str, function: Any) -> str:
    described = str(inspect.signature(function)).replace("'", "")
    return f"perennial.{name}{described}"


def _documented(function: Any) -> Iterator[str]:
    """A Google-style docstring as Markdown: its sections become lists."""
    for block in inspect.cleandoc(function.__doc__ or "").split("\n\n"):
        head, _, body = block.partition("\n")
        if head not in ("Args:", "Returns:", "Raises:"):
            yield from (" ".join(block.split()), "")
            continue
        yield from (f"**{head.removesuffix(':')}**", "")
        items: list[str] = []
        for line in inspect.cleandoc(body).split("\n"):
            if line.startswith(" ") and items:
                items[-1] += f" {line.strip()}"
            elif head == "Returns:" and items:
                items[-1] += f" {line}"
            else:
                items.append(line)
        yield from (*(f"- {_item(each, is_named=head != 'Returns:')}" for each in items), "")


def _item(text: str, *, is_named: bool) -> str:
    name, colon, rest = text.partition(": ")
    return f"`{name}`: {rest}" if is_named and colon else text


def _summary(thing: Any) -> str:
    return " ".join((inspect.getdoc(thing) or "").split("\n\n")[0].split())


def _contents(module: ModuleType) -> Iterator[tuple[str, Any]]:
    """The functions and classes of a module that it defines or offers itself."""
    offered = getattr(module, "__all__", None)
    for name in offered or [name for name in vars(module) if not name.startswith("_")]:
        thing = getattr(module, name)
        is_its_own = offered or getattr(thing, "__module__", None) == module.__name__
        if is_its_own and (inspect.isfunction(thing) or inspect.isclass(thing)):
            yield name, thing
