"""Digests of the files that define Feast objects, and which objects each file affects.

Both are kept with the registry, so that a plan can name the files that differ and that no change of an object explains.
"""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

_DIGITS = 16
#: An entry among the files: another version of Feast may read the same definitions in another way.
FEAST = "Feast itself"


@dataclass(frozen=True)
class DefinitionFile:
    """A file of a feature repository.

    Attributes:
        digest: Of its content.
        objects: What it, or a file that imports it, defines, as changes name it: `view flights_route_lateness`.
    """

    digest: str
    objects: frozenset[str] = frozenset()


def digest(folder: Path) -> str:
    """A digest (hex) of everything in a feature repository that `feast apply` reads, and of Feast's version."""
    import feast
    from feast.repo_operations import get_repo_files

    folder = folder.resolve()
    content = hashlib.blake2b(feast.__version__.encode(), digest_size=16)
    for file in (folder / "feature_store.yaml", *get_repo_files(folder)):
        content.update(f"\0{file.relative_to(folder)}\0".encode())
        content.update(file.read_bytes())
    return content.hexdigest()


def describe(folder: Path, modules: Mapping[Path, ModuleType]) -> dict[str, DefinitionFile]:
    """Everything that the digest of a feature repository is made of, by path below it.

    Args:
        folder: The repository.
        modules: Its modules, as `definitions.import_modules` returns them.
    """
    import feast

    folder = folder.resolve()
    imports = {file: set(_imported_files(file, folder, modules)) for file in modules}
    defined = {file: frozenset(_objects(module)) for file, module in modules.items()}
    settings = folder / "feature_store.yaml"
    return {
        FEAST: DefinitionFile(_digest(feast.__version__.encode())),
        settings.name: DefinitionFile(_digest(settings.read_bytes())),
        **{
            str(file.relative_to(folder)): DefinitionFile(
                _digest(file.read_bytes()),
                frozenset().union(*(defined[other] for other in modules if file in _reachable(other, imports))),
            )
            for file in modules
        },
    }


def to_tag(files: Mapping[str, DefinitionFile]) -> str:
    """Files as JSON, for a tag in the registry."""
    return json.dumps({name: [file.digest, *sorted(file.objects)] for name, file in files.items()})


def from_tag(text: str) -> dict[str, DefinitionFile]:
    """The files that `to_tag` wrote; none for an empty text."""
    entries = json.loads(text) if text else {}
    return {name: DefinitionFile(digest, frozenset(objects)) for name, (digest, *objects) in entries.items()}


def _objects(module: ModuleType) -> Iterator[str]:
    """The entities, views and services that a module has a name for."""
    from feast import Entity, FeatureService
    from feast.base_feature_view import BaseFeatureView

    for value in vars(module).values():
        match value:
            case Entity():
                yield f"entity {value.name}"
            case BaseFeatureView():
                yield f"view {value.name}"
            case FeatureService():
                yield f"service {value.name}"


def _reachable(file: Path, imports: Mapping[Path, set[Path]]) -> set[Path]:
    """A file and all that it imports, directly or not."""
    reached: set[Path] = set()
    pending = [file]
    while pending:
        current = pending.pop()
        if current not in reached:
            reached.add(current)
            pending += imports[current]
    return reached


def _imported_files(file: Path, folder: Path, files: Iterable[Path]) -> Iterator[Path]:
    """The repository's files that a file imports, wherever in it."""
    by_module = {_module_name(other, folder).removesuffix(".__init__"): other for other in files}
    for node in ast.walk(ast.parse(file.read_bytes())):
        for name in _imported_names(node, _module_name(file, folder)):
            parts = name.split(".")
            # To import `a.b` also runs the package `a`.
            prefixes = (".".join(parts[: length + 1]) for length in range(len(parts)))
            yield from (by_module[prefix] for prefix in prefixes if prefix in by_module)


def _imported_names(node: ast.AST, module: str) -> list[str]:
    """The full names of modules that an import may mean, in a module or in `<package>.__init__`."""
    match node:
        case ast.Import(names=names):
            return [alias.name for alias in names]
        case ast.ImportFrom(module=origin, names=names, level=level):
            package = module.split(".")[:-level] if level else []
            base = ".".join([*package, *([origin] if origin else [])])
            return [base, *(f"{base}.{alias.name}".lstrip(".") for alias in names)]
        case _:
            return []


def _module_name(file: Path, folder: Path) -> str:
    """A file's module, `<package>.__init__` for that of a package."""
    return ".".join(file.relative_to(folder).with_suffix("").parts)


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()[:_DIGITS]
