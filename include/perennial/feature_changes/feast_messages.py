"""Converts Feast's messages (protobuf), as its registry stores them, to plain definitions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC
from typing import TYPE_CHECKING, Any

from perennial.feature_changes.definitions import Definitions, Entity, Service, View

if TYPE_CHECKING:
    from feast.protos.feast.core.Registry_pb2 import Registry

    from perennial.feature_store.source import LakeSource

#: Registry field -> what people call its objects.
VIEWS = {
    "feature_views": "feature view",
    "stream_feature_views": "stream feature view",
    "on_demand_feature_views": "on-demand feature view",
    "label_views": "label view",
}


def to_definitions(content: Registry, project: str) -> Definitions:
    """The definitions of a project.

    Args:
        content: A registry, whole.
        project: The Feast project.
    """
    services = [each.spec for each in content.feature_services if each.spec.project == project]
    views = {message.spec.name: _view(message, kind) for message, kind in _views(content, project)}
    return Definitions(
        entities={
            each.spec.name: Entity(each.spec.join_key, _type(each.spec.value_type), _metadata(each.spec))
            for each in content.entities
            if each.spec.project == project and each.spec.name != "__dummy"
        },
        views=views,
        services={spec.name: _service(spec, views) for spec in services},
        edges=_edges(content, project),
    )


def _views(content: Registry, project: str) -> Iterator[tuple[Any, str]]:
    for name, kind in VIEWS.items():
        for message in getattr(content, name):
            if message.spec.project == project:
                yield message, kind


def _view(message: Any, kind: str) -> View:
    spec = message.spec
    ttl = spec.ttl.ToTimedelta() if _has(spec, "ttl") else None
    source = spec.batch_source if _has(spec, "batch_source") else None
    intervals = getattr(message.meta, "materialization_intervals", ())
    metadata = _metadata(spec) | {name: str(getattr(spec, name)) for name in ("mode", "version") if hasattr(spec, name)}
    return View(
        kind=kind,
        entities=tuple(name for name in spec.entities if name != "__dummy"),
        columns={feature.name: _type(feature.value_type) for feature in spec.features},
        ttl=ttl or None,
        source=_source(source) if source is not None else "",
        timestamp=source.timestamp_field if source is not None else "",
        mapping=dict(source.field_mapping) if source is not None else {},
        created=source.created_timestamp_column if source is not None else "",
        publication=_publication(source),
        online=bool(getattr(spec, "online", True)),
        code=_code(spec),
        metadata=metadata,
        intervals=tuple((each.start_time.ToDatetime(UTC), each.end_time.ToDatetime(UTC)) for each in intervals),
    )


def _has(spec: Any, name: str) -> bool:
    return name in spec.DESCRIPTOR.fields_by_name and spec.HasField(name)


def _source(source: Any) -> str:
    """The lake table of a source, else its name."""
    ours = _lake_source(source)
    return ours.table if ours is not None else str(source.name)


def _publication(source: Any) -> str:
    """When rows of a source are published; empty: at once, or it is no table of the lake."""
    ours = _lake_source(source) if source is not None else None
    return "" if ours is None or ours.publication.is_at_once else str(ours.publication)


def _lake_source(source: Any) -> LakeSource | None:
    from perennial.feature_store.source import LakeSource

    is_ours = source.data_source_class_type == f"{LakeSource.__module__}.{LakeSource.__qualname__}"
    return LakeSource.from_proto(source) if is_ours else None


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
    joined_otherwise = {
        name: "; ".join(sorted(each or "as itself" for each in joined)) for name, joined in joins.items() if any(joined)
    }
    return Service(features, _metadata(spec), joined_otherwise)


def _join(projection: Any) -> str:
    """By which other names a service asks for a view, and joins it; empty: by its own."""
    own, alias = projection.feature_view_name, projection.feature_view_name_alias
    called = [f"as {alias}"] if alias not in ("", own) else []
    keys = ", ".join(f"{key} by {column}" for key, column in sorted(projection.join_key_map.items()))
    return " ".join([*called, *([keys] if keys else [])])


def _metadata(spec: Any) -> dict[str, str]:
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
    for name in ("entities", *VIEWS):
        getattr(own, name).extend(each for each in getattr(content, name) if each.spec.project == project)
    own.feature_services.extend(each for each in content.feature_services if each.spec.project == project)
    kinds = {
        FeastObjectType.ENTITY: "entity",
        FeastObjectType.FEATURE_VIEW: "view",
        FeastObjectType.LABEL_VIEW: "view",
        FeastObjectType.FEATURE_SERVICE: "service",
    }
    direct, _ = RegistryLineageGenerator().generate_lineage(own)
    edges: dict[tuple[str, str], set[tuple[str, str]]] = {}
    for relation in direct:
        if relation.source.type in kinds and relation.target.type in kinds:
            source, target = ((kinds[end.type], end.name) for end in (relation.source, relation.target))
            if source != target:  # To Feast's lineage an on-demand view is also a view that it is made of.
                edges.setdefault(source, set()).add(target)
    return {key: frozenset(targets) for key, targets in edges.items()}
