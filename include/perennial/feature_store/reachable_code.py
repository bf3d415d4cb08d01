"""Finds the code that a transform reaches, by name: in its use case's folder and in `perennial.transforms`."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from perennial.errors import BadFeatures

#: The library's module whose functions compute features. A change of what one of them does must be seen.
VOCABULARY = Path(__file__).parents[1] / "transforms.py"
#: Means all names of a module.
_EVERYTHING = "*"

Import = ast.Import | ast.ImportFrom


@dataclass
class UseCaseCode:
    """The code in a use case's folder.

    Attributes:
        folder: The folder `use_cases/<name>`.
    """

    folder: Path
    _modules: dict[Path, _Module] = field(default_factory=dict)

    def reached_from(self, transform: str) -> Iterator[str]:
        """The code that `transforms.py` runs for one transform, piece by piece, sorted.

        Raises:
            BadFeatures: a file is not Python, or `transforms.py` lacks the transform.
        """
        start = self._module(self.folder / "transforms.py")
        if start is None or transform not in start.defined | start.imported:
            raise BadFeatures(
                f"include/use_cases/{self.folder.name}/transforms.py has no function {transform!r}.", "Write it."
            )
        yield from sorted(self._pieces(start, transform))

    def _pieces(self, start: _Module, name: str) -> set[str]:
        """The text of every statement that is reached from one name."""
        pieces: set[str] = set()
        seen: set[tuple[Path, str]] = set()
        pending = [(start, name)]
        while pending:
            module, name = pending.pop()
            if (module.file, name) in seen:
                continue
            is_first_visit = not any(file == module.file for file, _ in seen)
            seen.add((module.file, name))
            for texts, names in (
                self._defined(module, name, is_first_visit),
                self._imported(module, name),
                self._from_stars(module, name),
            ):
                pieces |= texts
                pending += names
            if name == _EVERYTHING:
                pending += [(module, other) for other in (*module.defined, *module.imported)]
        return pieces

    def _defined(self, module: _Module, name: str, is_first_visit: bool) -> tuple[set[str], list[tuple[_Module, str]]]:
        """What defines a name in a module, and what runs whenever the module is imported; and the names they use."""
        pieces: set[str] = set()
        names: list[tuple[_Module, str]] = []
        dotted = self._name(module.file)
        definitions = module.defined.get(name, [])
        for statement in [*definitions, *(module.always if is_first_visit else ())]:
            pieces.add(f"{dotted}: {_text(statement)}")
            names += [(module, used) for used in _used_names(statement)]
        for statement in definitions:
            for imported in _imports_in(statement):
                names += [target for alias in imported.names for target in self._targets(module, imported, alias)]
        return pieces, names

    def _imported(self, module: _Module, name: str) -> tuple[set[str], list[tuple[_Module, str]]]:
        """The imports that bind a name in a module, and where they lead."""
        pieces: set[str] = set()
        names: list[tuple[_Module, str]] = []
        for statement, alias in module.imported.get(name, ()):
            # One under a condition is among what always runs.
            pieces |= {_import_text(statement, alias)} if statement in module.body else set()
            names += self._targets(module, statement, alias)
        return pieces, names

    def _from_stars(self, module: _Module, name: str) -> tuple[set[str], list[tuple[_Module, str]]]:
        """For a name that a module does not define: a built-in one, or from an `import *`."""
        pieces: set[str] = set()
        names: list[tuple[_Module, str]] = []
        if name not in module.defined and name not in module.imported:
            for statement in module.stars:
                origin = self._at(self._location(module, statement))
                pieces.add(f"from {_origin(statement)} import *")
                names += [(origin, name)] if origin else []
        return pieces, names

    def _targets(self, module: _Module, statement: Import, alias: ast.alias) -> list[tuple[_Module, str]]:
        """Where an import leads to: the names it may mean, in modules that count."""
        if isinstance(statement, ast.Import):
            # `import a.b.c` is used as `a.b.c.name`, and also as `a.b.name`.
            parts = alias.name.split(".")
            lengths = [len(parts)] if alias.asname else range(2, len(parts) + 1)
            modules = [self._at(self._absolute(parts[:length])) for length in lengths]
            return [(each, _EVERYTHING) for each in modules if each]
        location = self._location(module, statement)
        origin = self._at(location)
        submodule = self._at(location / alias.name) if location else None  # A module, not a name in one.
        return [*([(origin, alias.name)] if origin else []), *([(submodule, _EVERYTHING)] if submodule else [])]

    def _location(self, module: _Module, statement: ast.ImportFrom) -> Path | None:
        """The folder, or the file without its suffix, that names are imported from; None: it is none of ours."""
        parts = statement.module.split(".") if statement.module else []
        if not statement.level:
            return self._absolute(parts)
        package = module.file
        for _ in range(statement.level):
            package = package.parent
        return package.joinpath(*parts)

    def _absolute(self, parts: list[str]) -> Path | None:
        if parts[0] == "use_cases":
            return self.folder.parent.joinpath(*parts[1:])
        return VOCABULARY.parent.joinpath(*parts[1:]) if parts[0] == "perennial" else None

    def _at(self, location: Path | None) -> _Module | None:
        """The package or module there, if it is in the use case's folder or is the library's `VOCABULARY`."""
        if location == VOCABULARY.with_suffix(""):
            return self._module(VOCABULARY)
        if location is None or not location.is_relative_to(self.folder):
            return None
        package = self._module(location / "__init__.py")
        return package or (self._module(location.with_name(f"{location.name}.py")) if location != self.folder else None)

    def _name(self, file: Path) -> str:
        if file == VOCABULARY:
            return f"perennial.{file.stem}"
        return ".".join(file.relative_to(self.folder).with_suffix("").parts)

    def _module(self, file: Path) -> _Module | None:
        if file not in self._modules and file.is_file():
            self._modules[file] = _Module(file)
        return self._modules.get(file)


@dataclass
class _Module:
    """One file: what its top level defines by name, what it imports, and what else it does."""

    file: Path

    @cached_property
    def body(self) -> list[ast.stmt]:
        try:
            return ast.parse(self.file.read_text()).body
        except SyntaxError as error:
            raise BadFeatures(
                f"{self.file.name}, line {error.lineno}, is not Python: {error.msg}", "Fix it."
            ) from error

    @cached_property
    def defined(self) -> dict[str, list[ast.stmt]]:
        """Name -> the statements that define it."""
        defined: dict[str, list[ast.stmt]] = {}
        for statement in self.body:
            for name in _defined_names(statement):
                defined.setdefault(name, []).append(statement)
        return defined

    @cached_property
    def imports(self) -> list[Import]:
        """Those of the top level, also under a condition or in a `try`."""
        plain: list[ast.stmt] = [statement for statement in self.body if isinstance(statement, Import)]
        return [node for statement in [*plain, *self.always] for node in _imports_in(statement)]

    @cached_property
    def imported(self) -> dict[str, list[tuple[Import, ast.alias]]]:
        """Name -> all that may bind it: `try` and `except` bind it one by one, parts of one package together."""
        imported: dict[str, list[tuple[Import, ast.alias]]] = {}
        for statement in self.imports:
            for alias in statement.names:
                imported.setdefault(alias.asname or alias.name.partition(".")[0], []).append((statement, alias))
        imported.pop(_EVERYTHING, None)
        return imported

    @cached_property
    def stars(self) -> list[ast.ImportFrom]:
        """`from ... import *`."""
        return [
            statement
            for statement in self.imports
            if isinstance(statement, ast.ImportFrom) and statement.names[0].name == _EVERYTHING
        ]

    @cached_property
    def always(self) -> list[ast.stmt]:
        """Statements that run at import and define nothing by a plain name: they may change what the others mean."""
        return [
            statement
            for statement in self.body
            if not isinstance(statement, Import) and not _defined_names(statement) and not _is_docstring(statement)
        ]


def _defined_names(statement: ast.stmt) -> list[str]:
    """The names that a statement defines, if that is all it does."""
    match statement:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return [name]
        case ast.Assign(targets=targets):
            names = [node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)]
            is_plain = all(isinstance(target, ast.Name | ast.Tuple | ast.List) for target in targets)
            return names if is_plain else []
        case ast.AnnAssign(target=ast.Name(id=name)) | ast.AugAssign(target=ast.Name(id=name)):
            return [name]
        case _:
            return []


def _origin(statement: ast.ImportFrom) -> str:
    return "." * statement.level + (statement.module or "")


def _imports_in(statement: ast.stmt) -> list[Import]:
    return [node for node in ast.walk(statement) if isinstance(node, Import)]


def _import_text(statement: Import, alias: ast.alias) -> str:
    bound = f" as {alias.asname}" if alias.asname else ""
    if isinstance(statement, ast.Import):
        return f"import {alias.name}{bound}"
    return f"from {_origin(statement)} import {alias.name}{bound}"


def _used_names(statement: ast.stmt) -> set[str]:
    return {node.id for node in ast.walk(statement) if isinstance(node, ast.Name)}


def _text(statement: ast.stmt) -> str:
    """The statement without layout, comments and docstrings."""
    for node in ast.walk(statement):
        body: Any = getattr(node, "body", None)
        if isinstance(body, list) and len(body) > 1 and _is_docstring(body[0]):
            del body[0]
    return ast.unparse(statement)


def _is_docstring(statement: ast.stmt) -> bool:
    match statement:
        case ast.Expr(value=ast.Constant(value=str())):
            return True
        case _:
            return False
