"""The files that Feast objects are defined in: what each holds, and which objects may be others once it is edited.

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
#: Stands among the files: another version may read the same definitions in another way.
FEAST = "Feast itself"


@dataclass(frozen=True)
class File:
    """A file of a feature repository.

    Attributes:
        digest: Of its content.
        objects: What it, or a file that imports it, defines, as changes name it: `view flights_route_lateness`.
    """

    digest: str
    objects: frozenset[str] = frozenset()


def described(folder: Path, modules: Mapping[Path, ModuleType]) -> dict[str, File]:
    """Everything that the digest of a feature repository is made of, by path below it.

    Args:
        modules: Its modules, as `definitions.modules` imports them.
    """
    import feast

    folder = folder.resolve()
    imported = {file: set(_imported(file, folder, modules)) for file in modules}
    defined = {file: frozenset(_objects(module)) for file, module in modules.items()}
    settings = folder / "feature_store.yaml"
    return {
        FEAST: File(_digest(feast.__version__.encode())),
        settings.name: File(_digest(settings.read_bytes())),
        **{
            str(file.relative_to(folder)): File(
                _digest(file.read_bytes()),
                frozenset().union(*(defined[other] for other in modules if file in _reached(other, imported))),
            )
            for file in modules
        },
    }


def to_tag(files: Mapping[str, File]) -> str:
    """Files as a text that a registry can keep."""
    return json.dumps({name: [file.digest, *sorted(file.objects)] for name, file in files.items()})


def from_tag(text: str) -> dict[str, File]:
    """What `to_tag` made a text of; nothing of an empty one."""
    kept = json.loads(text) if text else {}
    return {name: File(digest, frozenset(objects)) for name, (digest, *objects) in kept.items()}


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


def _reached(file: Path, imported: Mapping[Path, set[Path]]) -> set[Path]:
    """A file and all that it imports, directly or not."""
    found: set[Path] = set()
    waiting = [file]
    while waiting:
        current = waiting.pop()
        if current not in found:
            found.add(current)
            waiting += imported[current]
    return found


def _imported(file: Path, folder: Path, files: Iterable[Path]) -> Iterator[Path]:
    """The repository's files that a file imports, wherever in it."""
    called = {_name(other, folder): other for other in files}
    for node in ast.walk(ast.parse(file.read_bytes())):
        for name in _names(node, ".".join(file.relative_to(folder).with_suffix("").parts)):
            parts = name.split(".")
            # To import `a.b` also runs the package `a`.
            prefixes = (".".join(parts[: length + 1]) for length in range(len(parts)))
            yield from (called[prefix] for prefix in prefixes if prefix in called)


def _names(node: ast.AST, module: str) -> list[str]:
    """What an import in a module, or in `<package>.__init__`, may mean, by the full names of modules."""
    match node:
        case ast.Import(names=names):
            return [alias.name for alias in names]
        case ast.ImportFrom(module=origin, names=names, level=level):
            package = module.split(".")[:-level] if level else []
            place = ".".join([*package, *([origin] if origin else [])])
            return [place, *(f"{place}.{alias.name}".lstrip(".") for alias in names)]
        case _:
            return []


def _name(file: Path, folder: Path) -> str:
    """What a file is imported as."""
    return ".".join(file.relative_to(folder).with_suffix("").parts).removesuffix(".__init__")


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()[:_DIGITS]
