"""What `feature_repo/` defines: its Feast objects, read without side effects and checked against the lake."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import linecache
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from perennial.errors import BadFeatures

if TYPE_CHECKING:
    from feast.base_feature_view import BaseFeatureView
    from feast.feature_service import FeatureService
    from feast.feature_view import FeatureView
    from feast.field import Field
    from feast.repo_contents import RepoContents

    from perennial.feature_store.source import LakeSource

_reading = threading.Lock()


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


def read(folder: Path, columns: Callable[[LakeSource], dict[str, str]] | None = None) -> RepoContents:
    """The objects that the modules of a feature repository define, as `feast apply` would find them.

    Args:
        folder: The repository.
        columns: The columns, with their Iceberg types, that a view's lake table is taken to have; by default those
            it has.

    Raises:
        BadFeatures: a module cannot be imported, a feature service names a view that no module defines, or a view
            names a column that its lake table does not have. A table that does not exist yet is not checked.
    """
    return contents(modules(folder), columns)


def contents(
    imported: dict[Path, ModuleType], columns: Callable[[LakeSource], dict[str, str]] | None = None
) -> RepoContents:
    """`read`, of modules that are imported."""
    found = _objects(imported)
    defined = {view.name for view in _views(found)}
    for service in found.feature_services:
        for projection in service.feature_view_projections:
            if projection.name not in defined:
                raise BadFeatures(
                    f"Feature service {service.name!r} in {_where(service, imported)} names feature view"
                    f" {projection.name!r}, which no file in feature_repo/ defines at module level.",
                    f"Defined: {', '.join(sorted(defined)) or 'none'}.",
                )
    for view in found.feature_views:
        _check_columns(view, found, _where(view, imported), columns)
    return found


def modules(folder: Path) -> dict[Path, ModuleType]:
    """The modules of a feature repository, imported anew, by file.

    Raises:
        BadFeatures: one cannot be imported.
    """
    from feast.repo_operations import get_repo_files

    folder = folder.resolve()
    files = get_repo_files(folder)
    with _reading, _importing_from(folder):
        return {file: _import(folder, file) for file in files}


def _check_columns(
    view: FeatureView,
    contents: RepoContents,
    file: str,
    columns: Callable[[LakeSource], dict[str, str]] | None,
) -> None:
    """Every column a view names must be in its lake table, and of the declared kind."""
    from perennial.feature_store.source import LakeSource

    source = view.batch_source
    found = (columns(source) if columns else source.columns()) if isinstance(source, LakeSource) else {}
    if not isinstance(source, LakeSource) or not found:
        return
    keys = [entity.join_key for entity in contents.entities if entity.name in view.entities]
    declared: dict[str, Field | None] = dict.fromkeys([*keys, source.timestamp_field, source.created_timestamp_column])
    declared |= {field.name: field for field in view.schema}
    for name, field in declared.items():
        column = source.column(name)
        if name and name != "__dummy_id" and column not in found:
            raise BadFeatures(
                f"Feature view {view.name!r} in {file} names column {column!r}, which lake table {source.table!r} does"
                " not have.",
                f"Its columns are {', '.join(found)}. Mend the view's schema, or the transform that writes the table.",
            )
        if field is not None and not _fits(field, found[column]):
            raise BadFeatures(
                f"Feature view {view.name!r} in {file} declares {name!r} as {field.dtype}, but lake table"
                f" {source.table!r} holds {found[column]}.",
                "Declare the type the table has, or change the transform that writes it.",
            )


def _fits(field: Field, kind: str) -> bool:
    """Whether values of an Iceberg type can be served as a field's type without being changed."""
    wanted = str(field.dtype)
    numbers = {"int": {"int"}, "long": {"int", "long"}, "float": {"int", "long", "float", "double", "decimal"}}
    accepted = {
        "Int32": numbers["int"],
        "Int64": numbers["long"],
        "Float32": numbers["float"],
        "Float64": numbers["float"],
        "Bool": {"boolean"},
        "String": {"string", "uuid"},
        "UnixTimestamp": {"timestamp", "timestamptz", "date"},
    }.get(wanted)
    return accepted is None or kind.split("(")[0] in accepted


def _objects(modules: dict[Path, ModuleType]) -> RepoContents:
    """The modules' Feast objects, each once, sorted the way Feast wants them."""
    import feast
    from feast.data_source import DataSource
    from feast.feature_view import DUMMY_ENTITY
    from feast.labeling.label_view import LabelView
    from feast.permissions.permission import Permission
    from feast.project import Project
    from feast.repo_contents import RepoContents

    found = {id(value): value for module in modules.values() for value in vars(module).values()}.values()

    def only(kind: type, *but: type) -> list:
        return [value for value in found if isinstance(value, kind) and not isinstance(value, but)]

    views = [*only(feast.FeatureView), *only(LabelView)]
    sources = {id(source): source for source in only(DataSource)}
    for owner in (*views, *sources.values()):
        for source in (getattr(owner, name, None) for name in ("batch_source", "stream_source", "source")):
            if isinstance(source, DataSource):
                sources.setdefault(id(source), source)
    return RepoContents(
        projects=only(Project),
        data_sources=list(sources.values()),
        entities=[*only(feast.Entity), DUMMY_ENTITY],
        feature_views=only(feast.FeatureView, feast.StreamFeatureView),
        on_demand_feature_views=only(feast.OnDemandFeatureView),
        stream_feature_views=only(feast.StreamFeatureView),
        label_views=only(LabelView),
        feature_services=only(feast.FeatureService),
        permissions=only(Permission),
    )


def _views(contents: RepoContents) -> Iterator[BaseFeatureView]:
    yield from contents.feature_views
    yield from contents.stream_feature_views
    yield from contents.on_demand_feature_views
    yield from contents.label_views


def _where(thing: FeatureView | FeatureService, modules: dict[Path, ModuleType]) -> str:
    """The file that defines `thing`."""
    for file, module in modules.items():
        if any(value is thing for value in vars(module).values()):
            return f"feature_repo/{file.name}"
    return "feature_repo/"


@contextmanager
def _importing_from(folder: Path) -> Iterator[None]:
    """Let the repository's modules import one another by bare name, and forget them all afterwards: another
    repository, or the same one edited, may define the same names."""
    before = set(sys.modules)
    writes_bytecode = not sys.dont_write_bytecode
    # Bytecode is matched by second and size: a file edited twice in a second would be read as it was.
    sys.dont_write_bytecode = True
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.dont_write_bytecode = not writes_bytecode
        sys.path.remove(str(folder))
        for name in set(sys.modules) - before:
            if any(place.startswith(f"{folder}/") for place in _places(sys.modules[name])):
                del sys.modules[name]


def _places(module: ModuleType) -> list[str]:
    """Where a module is: its file, and the folders of a package, which need not have one."""
    return [str(getattr(module, "__file__", None) or ""), *map(str, getattr(module, "__path__", []))]


def _import(folder: Path, file: Path) -> ModuleType:
    name = ".".join(file.relative_to(folder).with_suffix("").parts)
    loaded = sys.modules.get(name)
    if loaded is not None and Path(getattr(loaded, "__file__", None) or "").resolve() == file:
        return loaded
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise BadFeatures(f"feature_repo/{file.name} is not a Python module.", "List it in .feastignore.")
    module = importlib.util.module_from_spec(spec)
    shadowed = sys.modules.get(name)
    sys.modules[name] = module
    # Feast keeps the text of an on-demand view's function, and reads it by this cache, which does not look for itself.
    linecache.checkcache(str(file))
    try:
        spec.loader.exec_module(module)
    except BadFeatures:
        raise
    except Exception as error:
        line = next(
            (
                frame.lineno
                for frame in reversed(traceback.extract_tb(error.__traceback__))
                if frame.filename == str(file)
            ),
            None,
        )
        line = line or getattr(error, "lineno", None)
        raise BadFeatures(
            f"feature_repo/{file.name}{f', line {line},' if line else ''} cannot be imported:"
            f" {type(error).__name__}: {error}",
            "Mend the file; `feast apply` in feature_repo/ shows the same error with its whole trace.",
        ) from error
    finally:
        if shadowed is not None:
            sys.modules[name] = shadowed
    return module
