"""Reads the Feast objects that the modules of a feature repository define, as `feast apply` would find them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from perennial.errors import BadFeatures
from perennial.feature_store.definitions.checks import check, faults
from perennial.feature_store.definitions.imports import import_modules, import_working_modules

if TYPE_CHECKING:
    from feast.repo_contents import RepoContents

    from perennial.feature_store.source import LakeSource


def read(folder: Path, columns: Callable[[LakeSource], dict[str, str]] | None = None) -> RepoContents:
    """The objects that a feature repository defines, checked against the lake.

    Args:
        folder: The repository: the folder with `feature_store.yaml`.
        columns: Gives the columns of a lake table, with their Iceberg types; by default those the table has now.

    Raises:
        BadFeatures: A module cannot be imported, a feature service names a view that no module defines, or a view
            names a column that its lake table does not have. A table that does not exist yet is not checked.
    """
    return objects_of(import_modules(folder), columns)


def objects_of(
    modules: dict[Path, ModuleType], columns: Callable[[LakeSource], dict[str, str]] | None = None
) -> RepoContents:
    """The objects of modules that are imported already, checked against the lake.

    Args:
        modules: File -> module, as `import_modules` returns them.
        columns: As for `read`.

    Raises:
        BadFeatures: A feature service or a view is wrong, as for `read`.
    """
    contents = _collect(modules)
    check(contents, modules, columns)
    return contents


def read_working(folder: Path) -> tuple[RepoContents, dict[Path, ModuleType], dict[Path, BadFeatures]]:
    """The objects of those files of a feature repository that can be imported and pass the checks of `read`.

    Args:
        folder: The repository.

    Returns:
        The objects, the modules that define them by file, and why each other file is left out.
    """
    modules, broken = import_working_modules(folder)
    while True:
        contents = _collect(modules)
        failed = faults(contents, modules)
        if not failed:
            return contents, modules, broken
        # A file less may leave a service without its view: all is checked again.
        broken |= failed
        modules = {file: module for file, module in modules.items() if file not in failed}


def _collect(modules: dict[Path, ModuleType]) -> RepoContents:
    """The modules' Feast objects, each once, by the kinds that Feast tells apart."""
    import feast
    from feast.data_source import DataSource
    from feast.feature_view import DUMMY_ENTITY
    from feast.labeling.label_view import LabelView
    from feast.permissions.permission import Permission
    from feast.project import Project
    from feast.repo_contents import RepoContents

    values = {id(value): value for module in modules.values() for value in vars(module).values()}.values()

    def only(*types: type) -> list:
        return [value for value in values if isinstance(value, types)]

    sources = {id(source): source for source in only(DataSource)}
    for owner in (*only(feast.FeatureView), *only(LabelView), *sources.values()):
        for source in (getattr(owner, name, None) for name in ("batch_source", "stream_source", "source")):
            if isinstance(source, DataSource):
                sources.setdefault(id(source), source)
    return RepoContents(
        projects=only(Project),
        data_sources=list(sources.values()),
        entities=[*only(feast.Entity), DUMMY_ENTITY],
        feature_views=[view for view in only(feast.FeatureView) if not isinstance(view, feast.StreamFeatureView)],
        on_demand_feature_views=only(feast.OnDemandFeatureView),
        stream_feature_views=only(feast.StreamFeatureView),
        label_views=only(LabelView),
        feature_services=only(feast.FeatureService),
        permissions=only(Permission),
    )
