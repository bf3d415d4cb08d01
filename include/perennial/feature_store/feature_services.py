"""Looks up what a feature service consists of: its features, join keys, views and their lake tables."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from perennial._common.storage import explaining_database
from perennial.errors import BadFeatures
from perennial.feature_store.store import REGISTRY, open_store

if TYPE_CHECKING:
    from feast import FeatureStore, FeatureView, OnDemandFeatureView
    from feast.feature_service import FeatureService

    from perennial.feature_store.publication import Publication


@explaining_database(REGISTRY)
def feature_names(service: str) -> list[str]:
    """The features of a service, in its own order, as retrievals name them.

    Raises:
        BadFeatures: There is no such service.
    """
    projections = get_service(open_store(), service).feature_view_projections
    return [feature.name for projection in projections for feature in projection.features]


@explaining_database(REGISTRY)
def join_keys(service: str) -> list[str]:
    """The columns by which a service's views are joined to entity rows.

    Raises:
        BadFeatures: There is no such service, or one of its views is gone.
    """
    from feast.feature_view import DUMMY_ENTITY_ID

    views = get_views(open_store(), service).values()
    return list(dict.fromkeys(key for view in views for key in view.join_keys if key != DUMMY_ENTITY_ID))


@explaining_database(REGISTRY)
def request_columns(service: str) -> list[str]:
    """The columns that a service's on-demand views expect in the request itself.

    Raises:
        BadFeatures: There is no such service, or one of its views is gone.
    """
    sources = [
        source for view in _on_demand_views(open_store(), service) for source in view.source_request_sources.values()
    ]
    return list(dict.fromkeys(field.name for source in sources for field in source.schema))


@explaining_database(REGISTRY)
def on_demand_views(service: str) -> list[OnDemandFeatureView]:
    """The on-demand views of a service, as the registry holds them now.

    Raises:
        BadFeatures: There is no such service, or one of its views is gone.
    """
    return _on_demand_views(open_store(), service)


@explaining_database(REGISTRY)
def feature_views(service: str) -> dict[str, FeatureView]:
    """The views of a service that have rows of their own, by name, as the registry holds them now.

    Raises:
        BadFeatures: There is no such service, or one of its views is gone.
    """
    return get_views(open_store(), service)


@explaining_database(REGISTRY)
def lake_tables(service: str) -> dict[str, str]:
    """The lake table behind each view of a service that has rows of its own.

    Raises:
        BadFeatures: There is no such service, one of its views is gone, or reads something else than the lake.
    """
    from perennial.feature_store.storage.scan import lake_source

    views = get_views(open_store(), service)
    return {name: lake_source(view.batch_source, f"Feature view {name!r}").table for name, view in views.items()}


@explaining_database(REGISTRY)
def publications(service: str) -> dict[str, Publication]:
    """When rows of each view of a service are published, as its source declares; only of views of lake tables.

    Raises:
        BadFeatures: There is no such service, or one of its views is gone.
    """
    from perennial.feature_store.source import LakeSource

    views = get_views(open_store(), service)
    return {
        name: view.batch_source.publication for name, view in views.items() if isinstance(view.batch_source, LakeSource)
    }


def get_service(store: FeatureStore, name: str, allow_cache: bool = False) -> FeatureService:
    """A feature service.

    Args:
        store: The Feast store.
        name: The service's name.
        allow_cache: Whether it may be as old as the registry's cache (`cache_ttl_seconds`), as views are that Feast
            reads online. A service that the cache does not have is looked up.

    Raises:
        BadFeatures: There is no such service.
    """
    from feast.errors import FeatureServiceNotFoundException

    if allow_cache:
        with suppress(FeatureServiceNotFoundException):
            return store.get_feature_service(name, allow_cache=True)
        store.refresh_registry()  # Feast's own reads ask the cache again.
    try:
        return store.get_feature_service(name)
    except FeatureServiceNotFoundException as error:
        applied = sorted(service.name for service in store.list_feature_services())
        raise BadFeatures(
            f"There is no feature service {name!r}.",
            f"Define it in feature_repo/ (applied so far: {', '.join(applied) or 'none'}).",
        ) from error


@dataclass
class _Parsed:
    """Services and their views, as parsed from one content of a registry's cache.

    Feast parses a service at each look-up, which takes longer than reading the online store does.
    """

    registry: Any
    services: dict[tuple[str, str], FeatureService] = field(default_factory=dict)
    views: dict[tuple[str, str], dict[str, FeatureView]] = field(default_factory=dict)


_parsed = _Parsed(None)


def cached_service(store: FeatureStore, name: str) -> FeatureService:
    """A feature service as the registry's cache has it, parsed once for each content of that cache.

    It is as old as the views that Feast reads online: at most `cache_ttl_seconds`.

    Args:
        store: The Feast store.
        name: The service's name.

    Raises:
        BadFeatures: There is no such service.
    """
    parsed, key = _parsed_now(store, name), (store.project, name)
    if key not in parsed.services:
        parsed.services[key] = get_service(store, name, allow_cache=True)
    return parsed.services[key]


def cached_views(store: FeatureStore, service: str) -> dict[str, FeatureView]:
    """`get_views`, as `cached_service`.

    Args:
        store: The Feast store.
        service: The service's name.

    Raises:
        BadFeatures: There is no such service, or one of its views is gone.
    """
    parsed, key = _parsed_now(store, service), (store.project, service)
    if key not in parsed.views:
        parsed.views[key] = get_views(store, service, allow_cache=True)
    return parsed.views[key]


def _parsed_now(store: FeatureStore, service: str) -> _Parsed:
    """What was parsed from the cache's present content; a registry without such a cache is parsed each time."""
    from feast.errors import FeatureServiceNotFoundException

    global _parsed
    registry: Any = store.registry
    if not hasattr(registry, "is_cache_valid"):
        return _Parsed(None)
    if not registry.is_cache_valid():
        # Any look-up refreshes it; before the read, whose views would else be newer than the service.
        with suppress(FeatureServiceNotFoundException):
            store.get_feature_service(service, allow_cache=True)
    content = registry.cached_registry_proto
    if content is not _parsed.registry:  # A refresh makes another object, also of the same content.
        _parsed = _Parsed(content)
    return _parsed


def get_views(store: FeatureStore, service: str, allow_cache: bool = False) -> dict[str, FeatureView]:
    """The views of a service that have rows of their own, also those behind its on-demand views.

    Args:
        store: The Feast store.
        service: The service's name.
        allow_cache: As of `get_service`.

    Raises:
        BadFeatures: There is no such service, or one of its views is gone.
    """
    return _all_views(store, service, allow_cache)[0]


def _on_demand_views(store: FeatureStore, service: str) -> list[OnDemandFeatureView]:
    return _all_views(store, service, allow_cache=False)[1]


def _all_views(
    store: FeatureStore, service: str, allow_cache: bool
) -> tuple[dict[str, FeatureView], list[OnDemandFeatureView]]:
    """The views of a service that have rows of their own, by name, and its on-demand views."""
    from feast import OnDemandFeatureView
    from feast.errors import FeatureViewNotFoundException

    names = [projection.name for projection in get_service(store, service, allow_cache).feature_view_projections]
    views: dict[str, FeatureView] = {}
    on_demand: list[OnDemandFeatureView] = []
    while names:
        name = names.pop(0)
        try:
            view: Any = store.registry.get_any_feature_view(name, store.project, allow_cache)
        except FeatureViewNotFoundException as error:
            raise BadFeatures(
                f"Feature service {service!r} names feature view {name!r}, which is gone.",
                "Define the view again, or take it out of the service, in feature_repo/.",
            ) from error
        if isinstance(view, OnDemandFeatureView):
            on_demand.append(view)
            names.extend(projection.name for projection in view.source_feature_view_projections.values())
        else:
            views[name] = view
    return views, on_demand
