"""A transform's fingerprint, which changes with its code and with what it calls in the use case or in `transforms`."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from perennial.errors import BadFeatures

if TYPE_CHECKING:
    from perennial.use_case import Declaration, UseCase

EXAMPLES = "examples"
_DIGITS = 16
#: The library's module whose functions compute features. A change of what one of them does must be seen.
VOCABULARY = Path(__file__).parents[1] / "transforms.py"
#: Stands for all names of a module.
_EVERYTHING = "*"


def of_transforms(use_case: UseCase) -> dict[str, str]:
    """The fingerprint of each feature table of a use case, and of its `examples`, as the files are now.

    It changes with the transform's code, with any function, constant or import that the code reaches in the use case's
    folder or in `perennial.transforms`, and with the table's declaration. Comments, docstrings and layout do not
    matter; neither does the rest of the library, nor what the raw tables hold.

    Raises:
        BadFeatures: a file is not Python, or lacks a transform.
    """
    folder = Path(str(use_case.module("use_case").__file__)).parent
    code = _Code(folder)
    declared: dict[str, Declaration] = {table.name: table for table in use_case.features}
    declared[EXAMPLES] = use_case.examples
    return {name: _digest(_declaration(table), *code.reached_from(name)) for name, table in declared.items()}


def _declaration(table: Declaration) -> str:
    return table.model_dump_json(exclude_defaults=True)


def _digest(*parts: str) -> str:
    content = hashlib.sha256()
    for part in parts:
        content.update(f"{part}\0".encode())
    return content.hexdigest()[:_DIGITS]


@dataclass
class _Module:
    """One file: what its top level defines by name, what it imports, and what it does besides."""

    file: Path

    @cached_property
    def body(self) -> list[ast.stmt]:
        try:
            return ast.parse(self.file.read_text()).body
        except SyntaxError as error:
            raise BadFeatures(
                f"{self.file.name}, line {error.lineno}, is not Python: {error.msg}", "Mend it."
            ) from error

    @cached_property
    def defined(self) -> dict[str, list[ast.stmt]]:
        found: dict[str, list[ast.stmt]] = {}
        for statement in self.body:
            for name in _names_of(statement):
                found.setdefault(name, []).append(statement)
        return found

    @cached_property
    def imports(self) -> list[ast.Import | ast.ImportFrom]:
        """Those of the top level, also under a condition or in a `try`."""
        plain: list[ast.stmt] = [each for each in self.body if isinstance(each, ast.Import | ast.ImportFrom)]
        return [found for statement in [*plain, *self.always] for found in _imports_in(statement)]

    @cached_property
    def imported(self) -> dict[str, list[tuple[ast.Import | ast.ImportFrom, ast.alias]]]:
        """Name -> all that may bind it: `try` and `except` bind it one by one, parts of one package together."""
        found: dict[str, list[tuple[ast.Import | ast.ImportFrom, ast.alias]]] = {}
        for statement in self.imports:
            for alias in statement.names:
                found.setdefault(alias.asname or alias.name.partition(".")[0], []).append((statement, alias))
        found.pop(_EVERYTHING, None)
        return found

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
            if not isinstance(statement, ast.Import | ast.ImportFrom)
            and not _names_of(statement)
            and not _is_docstring(statement)
        ]


@dataclass
class _Code:
    """The code in a use case's folder."""

    folder: Path
    _modules: dict[Path, _Module] = field(default_factory=dict)

    def reached_from(self, transform: str) -> Iterator[str]:
        """The code that `transforms.py` runs for one transform, piece by piece, in an order of its own."""
        start = self._module(self.folder / "transforms.py")
        if start is None or transform not in start.defined | start.imported:
            raise BadFeatures(
                f"include/use_cases/{self.folder.name}/transforms.py has no function {transform!r}.", "Write it."
            )
        yield from sorted(self._pieces(start, transform))

    def _pieces(self, start: _Module, name: str) -> set[str]:
        pieces: set[str] = set()
        seen: set[tuple[Path, str]] = set()
        waiting = [(start, name)]
        while waiting:
            module, wanted = waiting.pop()
            if (module.file, wanted) in seen:
                continue
            entered = not any(file == module.file for file, _ in seen)
            seen.add((module.file, wanted))
            called = self._name(module.file)
            for piece in [*module.defined.get(wanted, ()), *(module.always if entered else ())]:
                pieces.add(f"{called}: {_text(piece)}")
                waiting += [(module, used) for used in _uses(piece)]
            for piece in module.defined.get(wanted, ()):
                for statement in _imports_in(piece):
                    waiting += [found for alias in statement.names for found in self._leads(module, statement, alias)]
            for statement, alias in module.imported.get(wanted, ()):
                # One under a condition stands among what always runs.
                pieces |= {_import_text(statement, alias)} if statement in module.body else set()
                waiting += self._leads(module, statement, alias)
            if wanted == _EVERYTHING:
                waiting += [(module, each) for each in (*module.defined, *module.imported)]
            if wanted not in module.defined and wanted not in module.imported:
                # A built-in name, or from whatever is imported without being named.
                for statement in module.stars:
                    origin = self._at(self._place(module, statement))
                    pieces.add(f"from {_origin(statement)} import *")
                    waiting += [(origin, wanted)] if origin else []
        return pieces

    def _leads(
        self, module: _Module, statement: ast.Import | ast.ImportFrom, alias: ast.alias
    ) -> list[tuple[_Module, str]]:
        """Where an import leads to inside the use case's folder."""
        if isinstance(statement, ast.Import):
            # `import a.b.c` is used as `a.b.c.name`, and also as `a.b.name`.
            parts = alias.name.split(".")
            lengths = [len(parts)] if alias.asname else range(2, len(parts) + 1)
            found = [self._at(self._absolute(parts[:length])) for length in lengths]
            return [(each, _EVERYTHING) for each in found if each]
        place = self._place(module, statement)
        origin = self._at(place)
        part = self._at(place / alias.name) if place else None  # A module, not a name in one.
        return [*([(origin, alias.name)] if origin else []), *([(part, _EVERYTHING)] if part else [])]

    def _place(self, module: _Module, statement: ast.ImportFrom) -> Path | None:
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

    def _at(self, place: Path | None) -> _Module | None:
        """The package or module there, if it lies in the use case's folder or is the library's `VOCABULARY`."""
        if place == VOCABULARY.with_suffix(""):
            return self._module(VOCABULARY)
        if place is None or not place.is_relative_to(self.folder):
            return None
        package = self._module(place / "__init__.py")
        return package or (self._module(place.with_name(f"{place.name}.py")) if place != self.folder else None)

    def _name(self, file: Path) -> str:
        if file == VOCABULARY:
            return f"perennial.{file.stem}"
        return ".".join(file.relative_to(self.folder).with_suffix("").parts)

    def _module(self, file: Path) -> _Module | None:
        if file not in self._modules and file.is_file():
            self._modules[file] = _Module(file)
        return self._modules.get(file)


def _names_of(statement: ast.stmt) -> list[str]:
    """The names that a statement defines, if that is all it does."""
    match statement:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return [name]
        case ast.Assign(targets=targets):
            named = [node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)]
            plain = all(isinstance(target, ast.Name | ast.Tuple | ast.List) for target in targets)
            return named if plain else []
        case ast.AnnAssign(target=ast.Name(id=name)) | ast.AugAssign(target=ast.Name(id=name)):
            return [name]
        case _:
            return []


def _origin(statement: ast.ImportFrom) -> str:
    return "." * statement.level + (statement.module or "")


def _imports_in(statement: ast.stmt) -> list[ast.Import | ast.ImportFrom]:
    return [node for node in ast.walk(statement) if isinstance(node, ast.Import | ast.ImportFrom)]


def _import_text(statement: ast.Import | ast.ImportFrom, alias: ast.alias) -> str:
    bound = f" as {alias.asname}" if alias.asname else ""
    if isinstance(statement, ast.Import):
        return f"import {alias.name}{bound}"
    return f"from {_origin(statement)} import {alias.name}{bound}"


def _uses(statement: ast.stmt) -> set[str]:
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
