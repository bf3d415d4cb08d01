"""Reads the definitions on both sides of a change: in the Feast registry and in `feature_repo/`.

Through Feast's own messages (protobuf), and without changing anything: the registry is opened for reading only, and one
that nobody has created yet is an empty one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from perennial._common.heavy_imports import fast_imports
from perennial._common.storage import explaining_database
from perennial.feature_changes import feast_messages
from perennial.feature_changes.definitions import NOTHING, Definitions
from perennial.feature_store import definitions, repository
from perennial.feature_store.definitions import files
from perennial.services import postgres_address
from perennial.settings import settings

if TYPE_CHECKING:
    from feast.protos.feast.core.Registry_pb2 import Registry
    from feast.repo_config import RepoConfig
    from feast.repo_contents import RepoContents

    from perennial.feature_store.source import LakeSource

#: What PostgreSQL says when there is no such database, and when something is to be written after all.
_NO_DATABASE, _READ_ONLY = "3D000", "25006"


def nothing_was_ever_started() -> bool:
    """Whether this installation has no database yet: then there is neither a registry nor a lake."""
    return settings().database is None and not postgres_address.folder().exists()


@explaining_database(repository.REGISTRY)
def registered() -> Definitions:
    """The definitions in the registry.

    Raises:
        ServiceUnavailable: its database does not answer.
    """
    with fast_imports():
        import feast  # noqa: F401
    config = repository.load_config(settings().feature_repo)
    content = _content(config)
    if content is None:
        return NOTHING
    tags: Mapping[str, str] = next((one.spec.tags for one in content.projects if one.spec.name == config.project), {})
    return replace(
        feast_messages.to_definitions(content, config.project),
        digest=tags.get(repository.APPLIED, ""),
        files=files.from_tag(tags.get(repository.FILES, "")),
    )


def declared(columns: Callable[[LakeSource], dict[str, str]] | None = None) -> Definitions:
    """The definitions in `feature_repo/`.

    Args:
        columns: The columns, with their Iceberg types, that a lake table is to have; by default those it has.

    Raises:
        BadFeatures: a definition is wrong.
    """
    with fast_imports():
        import feast  # noqa: F401
    folder = settings().feature_repo
    modules = definitions.import_modules(folder)
    return replace(
        from_contents(definitions.objects_of(modules, columns), columns),
        digest=definitions.digest(folder),
        files=files.describe(folder, modules),
    )


def from_contents(contents: RepoContents, columns: Callable[[LakeSource], dict[str, str]] | None = None) -> Definitions:
    """The definitions of a repository's objects; views without a schema have their tables' columns, as in Feast.

    Args:
        contents: The objects.
        columns: The columns, with their Iceberg types, that a lake table is to have; by default those it has.
    """
    from feast.protos.feast.core.Registry_pb2 import Registry

    project = repository.load_config(settings().feature_repo).project
    content = Registry()
    for name in ("entities", *feast_messages.VIEWS):
        getattr(content, name).extend(_message(each, project) for each in getattr(contents, name))
    content.feature_services.extend(_message(each, project) for each in contents.feature_services)
    keys = {entity.name: entity.join_key for entity in contents.entities}
    for view, message in zip(contents.feature_views, content.feature_views, strict=True):
        if not message.spec.features:
            _infer(view, message, [keys[name] for name in message.spec.entities if name in keys], columns)
    return feast_messages.to_definitions(content, project)


def _message(thing: Any, project: str) -> Any:
    message = thing.to_proto()
    message.spec.project = project
    return message


def _infer(view: Any, message: Any, keys: list[str], columns: Callable[[LakeSource], dict[str, str]] | None) -> None:
    """A view without a schema gets its table's columns, as Feast does when it applies."""
    from feast.types import from_value_type

    from perennial.feature_store.source import LakeSource

    source = view.batch_source
    if not isinstance(source, LakeSource):
        return
    to_feast = LakeSource.source_datatype_to_feast_value_type()
    apart = {*keys, source.timestamp_field, source.created_timestamp_column}
    for column, kind in (columns(source) if columns else source.columns()).items():
        name = source.field_mapping.get(column, column)
        if name not in apart:
            message.spec.features.add(name=name, value_type=from_value_type(to_feast(kind)).to_value_type().value)


def _content(config: RepoConfig) -> Registry | None:
    """The whole registry, read without changing it; None when there is none."""
    if nothing_was_ever_started():
        return None
    kind = (config.registry_config or {}).get("registry_type") if isinstance(config.registry_config, dict) else None
    if kind == "sql":
        return _sql_content(config)
    if kind == "file" and not (settings().feature_repo / config.registry.path).exists():
        return None
    return repository.open_store().registry.proto()


def _sql_content(config: RepoConfig) -> Registry | None:
    from feast.infra.registry.sql import FeastRegistrySchemaError, SqlRegistry, SqlRegistryConfig
    from sqlalchemy.exc import DBAPIError

    options: dict[str, Any] = dict(config.registry_config or {})
    if options["path"].startswith("postgresql"):
        # Feast would make tables, and an entry for the project, as soon as it looks.
        options["sqlalchemy_config_kwargs"] = {
            **options.get("sqlalchemy_config_kwargs", {}),
            "connect_args": {"options": "-c default_transaction_read_only=on"},
        }
    verified = SqlRegistryConfig(**options | {"schema_mode": "verify"})
    try:
        opened = SqlRegistry(verified, config.project, settings().feature_repo)
    except FeastRegistrySchemaError:
        return None
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) == _READ_ONLY or lacks_database(error):
            return None
        raise
    try:
        return opened.cached_registry_proto
    finally:
        opened.write_engine.dispose()


def lacks_database(error: Exception) -> bool:
    """Whether an error of SQLAlchemy says that the server has no such database."""
    cause = getattr(error, "orig", error)
    return getattr(cause, "sqlstate", None) == _NO_DATABASE or (
        'database "' in str(cause) and "does not exist" in str(cause)
    )
