"""Checks Feast definitions before they are applied: services name views that exist, views name columns that exist."""

from __future__ import annotations

from collections.abc import Callable, Iterator
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

_INTEGERS = {"int", "long"}
#: Feast's type -> the Iceberg types whose values can be served as it without being changed.
_SERVED_FROM = {
    "Int32": {"int"},
    "Int64": _INTEGERS,
    "Float32": {*_INTEGERS, "float", "double", "decimal"},
    "Float64": {*_INTEGERS, "float", "double", "decimal"},
    "Bool": {"boolean"},
    "String": {"string", "uuid"},
    "UnixTimestamp": {"timestamp", "timestamptz", "date"},
}


def check(
    contents: RepoContents,
    modules: dict[Path, ModuleType],
    columns: Callable[[LakeSource], dict[str, str]] | None = None,
) -> None:
    """Check feature services against views, and views against the lake. A table that does not exist yet passes.

    Args:
        contents: The objects.
        modules: The modules that define them, for messages: file -> module.
        columns: Gives the columns of a lake table, with their Iceberg types; by default those the table has now.

    Raises:
        BadFeatures: A service names a view that no module defines; or a view names a column that its table lacks or
            has as another type, or is to be published more often than its use case refreshes features.
    """
    for _, error in _faults(contents, modules, columns):
        raise error


def faults(contents: RepoContents, modules: dict[Path, ModuleType]) -> dict[Path, BadFeatures]:
    """The files that define something that does not pass `check`, each with its first fault.

    Args:
        contents: The objects.
        modules: The modules that define them, by file.

    Raises:
        BadFeatures: what is at fault is in none of these files.
    """
    failed: dict[Path, BadFeatures] = {}
    for file, error in _faults(contents, modules, None):
        if file is None:
            raise error
        failed.setdefault(file, error)
    return failed


def _faults(
    contents: RepoContents,
    modules: dict[Path, ModuleType],
    columns: Callable[[LakeSource], dict[str, str]] | None,
) -> Iterator[tuple[Path | None, BadFeatures]]:
    """What is wrong with services and views, each with the file that defines it."""
    from feast.feature_service import FeatureService

    defined = {view.name for view in _views(contents)}
    things: list[FeatureService | FeatureView] = [*contents.feature_services, *contents.feature_views]
    for thing in things:
        file = _file_of(thing, modules)
        try:
            if isinstance(thing, FeatureService):
                _check_views(thing, defined, _name(file))
            else:
                _check_columns(thing, contents, _name(file), columns)
                _check_cadence(thing, _name(file))
        except BadFeatures as error:
            yield file, error


def _check_views(service: FeatureService, defined: set[str], file: str) -> None:
    """Every view that a service names must be defined."""
    for projection in service.feature_view_projections:
        if projection.name not in defined:
            raise BadFeatures(
                f"Feature service {service.name!r} in {file} names feature view"
                f" {projection.name!r}, which no file in feature_repo/ defines at module level.",
                f"Defined: {', '.join(sorted(defined)) or 'none'}.",
            )


def _views(contents: RepoContents) -> Iterator[BaseFeatureView]:
    yield from contents.feature_views
    yield from contents.stream_feature_views
    yield from contents.on_demand_feature_views
    yield from contents.label_views


def _check_columns(
    view: FeatureView,
    contents: RepoContents,
    file: str,
    columns: Callable[[LakeSource], dict[str, str]] | None,
) -> None:
    """Every column a view names must be in its lake table, with a type that can be served as the declared one."""
    from feast.feature_view import DUMMY_ENTITY_ID

    from perennial.feature_store.source import LakeSource, stored_name

    source = view.batch_source
    if not isinstance(source, LakeSource):
        return
    stored = columns(source) if columns else source.columns()
    if not stored:
        return
    keys = [entity.join_key for entity in contents.entities if entity.name in view.entities]
    declared: dict[str, Field | None] = dict.fromkeys([*keys, source.timestamp_field, source.created_timestamp_column])
    declared |= {field.name: field for field in view.schema}
    for name, field in declared.items():
        column = stored_name(source, name)
        if name not in ("", DUMMY_ENTITY_ID) and column not in stored:
            raise BadFeatures(
                f"Feature view {view.name!r} in {file} names column {column!r}, which lake table {source.table!r} does"
                " not have.",
                f"Its columns are {', '.join(stored)}. Fix the view's schema, or the transform that writes the table.",
            )
        if field is not None and not _can_be_served(field, stored[column]):
            raise BadFeatures(
                f"Feature view {view.name!r} in {file} declares {name!r} as {field.dtype}, but lake table"
                f" {source.table!r} holds {stored[column]}.",
                "Declare the type the table has, or change the transform that writes it.",
            )


def _check_cadence(view: FeatureView, file: str) -> None:
    """A view cannot be published more often than its use case refreshes the partition under way."""
    from perennial import discovery
    from perennial.feature_store.source import LakeSource

    source = view.batch_source
    if not isinstance(source, LakeSource) or source.publication.every is None:
        return
    name, _, table = source.table.partition(".")
    use_case = discovery.load(name) if name in discovery.names() else None
    if use_case is None or use_case.refresh is None or table not in {each.name for each in use_case.features}:
        return
    if source.publication.every < use_case.refresh.every:
        raise BadFeatures(
            f"Feature view {view.name!r} in {file} is published every {source.publication.every}, but use case"
            f" {name!r} refreshes its features every {use_case.refresh.every}.",
            f"Lengthen published_every, or shorten refresh.every in include/use_cases/{name}/use_case.py.",
        )


def _can_be_served(field: Field, iceberg_type: str) -> bool:
    """Whether values of an Iceberg type can be served as a field's type without being changed."""
    accepted = _SERVED_FROM.get(str(field.dtype))
    return accepted is None or iceberg_type.split("(")[0] in accepted


def _file_of(thing: FeatureView | FeatureService, modules: dict[Path, ModuleType]) -> Path | None:
    """The file that defines a view or a service; None: only one that it is imported from, outside of the repository."""
    for file, module in modules.items():
        if any(value is thing for value in vars(module).values()):
            return file
    return None


def _name(file: Path | None) -> str:
    return f"feature_repo/{file.name if file else ''}"
