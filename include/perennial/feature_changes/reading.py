"""Reading both sides of a change: what the Feast registry holds, and what `feature_repo/` says.

Through Feast's own messages (protobuf), and without changing anything: the registry is opened for reading only, and one
that nobody has made yet is an empty one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC
from typing import TYPE_CHECKING, Any

from perennial._common.heavy_imports import fast_imports
from perennial._common.storage import explaining_database
from perennial.feature_changes.sides import NOTHING, Definitions, Entity, Service, View
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
#: Registry field -> what people call its objects.
_VIEWS = {
    "feature_views": "feature view",
    "stream_feature_views": "stream feature view",
    "on_demand_feature_views": "on-demand feature view",
    "label_views": "label view",
}


def nothing_was_ever_started() -> bool:
    """Whether this installation has no database yet: then there is neither a registry nor a lake."""
    return settings().database is None and not postgres_address.folder().exists()


@explaining_database(repository.REGISTRY)
def registered() -> Definitions:
    """What the registry holds now.

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
        _plain(content, config.project),
        digest=tags.get(repository.APPLIED, ""),
        files=files.from_tag(tags.get(repository.FILES, "")),
    )


def written(columns: Callable[[LakeSource], dict[str, str]] | None = None) -> Definitions:
    """What `feature_repo/` says.

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
        of(definitions.objects_of(modules, columns), columns),
        digest=definitions.digest(folder),
        files=files.describe(folder, modules),
    )


def of(contents: RepoContents, columns: Callable[[LakeSource], dict[str, str]] | None = None) -> Definitions:
    """What a repository's objects say, once Feast has worked out the columns of views without a schema."""
    from feast.protos.feast.core.Registry_pb2 import Registry

    project = repository.load_config(settings().feature_repo).project
    content = Registry()
    for name in ("entities", *_VIEWS):
        getattr(content, name).extend(_message(each, project) for each in getattr(contents, name))
    content.feature_services.extend(_message(each, project) for each in contents.feature_services)
    keys = {entity.name: entity.join_key for entity in contents.entities}
    for view, message in zip(contents.feature_views, content.feature_views, strict=True):
        if not message.spec.features:
            _infer(view, message, [keys[name] for name in message.spec.entities if name in keys], columns)
    return _plain(content, project)


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

    given: dict[str, Any] = dict(config.registry_config or {})
    if given["path"].startswith("postgresql"):
        # Feast would make tables, and an entry for the project, as soon as it looks.
        given["sqlalchemy_config_kwargs"] = {
            **given.get("sqlalchemy_config_kwargs", {}),
            "connect_args": {"options": "-c default_transaction_read_only=on"},
        }
    verified = SqlRegistryConfig(**given | {"schema_mode": "verify"})
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


def _plain(content: Registry, project: str) -> Definitions:
    services = [each.spec for each in content.feature_services if each.spec.project == project]
    views = {message.spec.name: _view(message, kind) for message, kind in _views(content, project)}
    return Definitions(
        entities={
            each.spec.name: Entity(each.spec.join_key, _type(each.spec.value_type), _rest(each.spec))
            for each in content.entities
            if each.spec.project == project and each.spec.name != "__dummy"
        },
        views=views,
        services={spec.name: _service(spec, views) for spec in services},
        edges=_edges(content, project),
    )


def _views(content: Registry, project: str) -> Iterator[tuple[Any, str]]:
    for name, kind in _VIEWS.items():
        for message in getattr(content, name):
            if message.spec.project == project:
                yield message, kind


def _view(message: Any, kind: str) -> View:
    spec = message.spec
    ttl = spec.ttl.ToTimedelta() if _has(spec, "ttl") else None
    source = spec.batch_source if _has(spec, "batch_source") else None
    intervals = getattr(message.meta, "materialization_intervals", ())
    rest = _rest(spec) | {name: str(getattr(spec, name)) for name in ("mode", "version") if hasattr(spec, name)}
    return View(
        kind=kind,
        entities=tuple(name for name in spec.entities if name != "__dummy"),
        columns={feature.name: _type(feature.value_type) for feature in spec.features},
        ttl=ttl or None,
        source=_source(source) if source is not None else "",
        timestamp=source.timestamp_field if source is not None else "",
        mapping=dict(source.field_mapping) if source is not None else {},
        created=source.created_timestamp_column if source is not None else "",
        online=bool(getattr(spec, "online", True)),
        code=_code(spec),
        rest=rest,
        intervals=tuple((each.start_time.ToDatetime(UTC), each.end_time.ToDatetime(UTC)) for each in intervals),
    )


def _has(spec: Any, name: str) -> bool:
    return name in spec.DESCRIPTOR.fields_by_name and spec.HasField(name)


def _source(source: Any) -> str:
    """The lake table of a source, else its name."""
    from perennial.feature_store.source import LakeSource

    if source.data_source_class_type == f"{LakeSource.__module__}.{LakeSource.__qualname__}":
        return LakeSource.from_proto(source).table
    return str(source.name)


def _code(spec: Any) -> str:
    if not _has(spec, "feature_transformation"):
        return ""
    function = spec.feature_transformation.user_defined_function
    return str(function.body_text or spec.feature_transformation)


def _service(spec: Any, views: Mapping[str, View]) -> Service:
    features: dict[str, tuple[str, ...]] = {}
    joins: dict[str, list[str]] = {}
    for projection in spec.features:
        name = projection.feature_view_name
        named = tuple(column.name for column in projection.feature_columns)
        # A projection of a view whose columns Feast has not worked out yet names none: it means all of them.
        everything = tuple(views[name].columns) if name in views else ()
        features[name] = features.get(name, ()) + (named or everything)
        joins.setdefault(name, []).append(_join(projection))
    by_others = {
        name: "; ".join(sorted(each or "as itself" for each in said)) for name, said in joins.items() if any(said)
    }
    return Service(features, _rest(spec), by_others)


def _join(projection: Any) -> str:
    """By which other names a service asks for a view, and joins it; empty: by its own."""
    own, alias = projection.feature_view_name, projection.feature_view_name_alias
    called = [f"as {alias}"] if alias not in ("", own) else []
    keys = ", ".join(f"{key} by {column}" for key, column in sorted(projection.join_key_map.items()))
    return " ".join([*called, *([keys] if keys else [])])


def _rest(spec: Any) -> dict[str, str]:
    tags = ", ".join(f"{name}={value}" for name, value in sorted(spec.tags.items()))
    return {"description": spec.description, "owner": spec.owner, "tags": tags}


def _type(value_type: int) -> str:
    from feast.types import from_value_type
    from feast.value_type import ValueType

    return str(from_value_type(ValueType(value_type)))


def _edges(content: Registry, project: str) -> dict[tuple[str, str], frozenset[tuple[str, str]]]:
    from feast.lineage.registry_lineage import FeastObjectType, RegistryLineageGenerator
    from feast.protos.feast.core.Registry_pb2 import Registry

    own = Registry()
    for name in ("entities", *_VIEWS):
        getattr(own, name).extend(each for each in getattr(content, name) if each.spec.project == project)
    own.feature_services.extend(each for each in content.feature_services if each.spec.project == project)
    kinds = {
        FeastObjectType.ENTITY: "entity",
        FeastObjectType.FEATURE_VIEW: "view",
        FeastObjectType.LABEL_VIEW: "view",
        FeastObjectType.FEATURE_SERVICE: "service",
    }
    direct, _ = RegistryLineageGenerator().generate_lineage(own)
    found: dict[tuple[str, str], set[tuple[str, str]]] = {}
    for relation in direct:
        if relation.source.type in kinds and relation.target.type in kinds:
            source, target = ((kinds[end.type], end.name) for end in (relation.source, relation.target))
            if source != target:  # To Feast's lineage an on-demand view is also a view that it is made of.
                found.setdefault(source, set()).add(target)
    return {key: frozenset(targets) for key, targets in found.items()}
