"""What the pipelines ask of the feature store: apply its definitions, materialize, retrieve.

A feature service names the features of one use case. It, its views and their tables are defined in `feature_repo/`.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from perennial._common.heavy_imports import fast_imports
from perennial._common.storage import explaining_database
from perennial.errors import BadFeatures
from perennial.services import postgres
from perennial.settings import settings

if TYPE_CHECKING:
    import pyarrow as pa
    from feast import FeatureStore, FeatureView
    from feast.feature_service import FeatureService
    from feast.repo_config import RepoConfig
    from feast.repo_contents import RepoContents

#: The tag of the Feast project that holds the digest of the definitions applied last.
APPLIED = "perennial.definitions"
#: The tag that holds what each of their files was.
FILES = "perennial.files"
#: What does not answer when PostgreSQL does not.
REGISTRY = "The Feast registry"
#: A store that stands in for the project's own; see `answering_by`.
_stand_in: ContextVar[FeatureStore | None] = ContextVar("stand_in", default=None)


def open_store(keep_event_timestamps: bool = False, snapshots: Mapping[str, int | None] | None = None) -> FeatureStore:
    """The Feast store of the project's `feature_repo/`, with one registry connection a process.

    Args:
        keep_event_timestamps: Retrievals also return `<view>__event_timestamp`.
        snapshots: Lake tables to read in these snapshots instead of the current ones.
    """
    store = _stand_in.get() or _store(os.getpid(), settings().feature_repo, settings().home)
    if not keep_event_timestamps and not snapshots:
        return store
    variant = copy.copy(store)
    variant.config = config_of(settings().feature_repo)
    variant.config.offline_config |= {
        "keep_event_timestamps": keep_event_timestamps,
        "snapshots": {table: snapshot for table, snapshot in (snapshots or {}).items() if snapshot is not None},
    }
    variant._provider = None
    return variant


@contextmanager
def answering_by(store: FeatureStore) -> Iterator[None]:
    """Inside, in this thread, the functions of this module ask `store` instead of the project's own."""
    before = _stand_in.set(store)
    try:
        yield
    finally:
        _stand_in.reset(before)


@explaining_database(REGISTRY)
def apply_if_changed(before: Callable[[FeatureStore, RepoContents], None] | None = None) -> bool:
    """Register the definitions in `feature_repo/` if they are not the ones registered; whether they were not.

    What a view has materialized stays recorded. Killed anywhere, the next call applies again.

    Args:
        before: Called with the store and the definitions when nobody else can change the registry any more, and before
            it is changed; what it raises leaves the registry as it is.

    Raises:
        BadFeatures: a definition is wrong.
    """
    with fast_imports():
        from feast import Project
    from feast.repo_operations import extract_objects_for_apply_delete

    from perennial.feature_store import definition_files, definitions

    folder = settings().feature_repo
    store = open_store()
    wanted = definitions.digest(folder)
    with postgres.advisory_lock("feast", store.project):
        if _applied(store) == wanted:
            return False
        modules = definitions.modules(folder)
        contents = definitions.contents(modules)
        if before is not None:
            before(store, contents)
        project = next(iter(contents.projects), None) or Project(name=store.project)
        contents.projects[:] = [project]
        with _teaching("The definitions in feature_repo/ cannot be applied"):
            # The project, among the changed, goes first and loses its digest, which is written once all else is.
            changed, deleted, _, _ = extract_objects_for_apply_delete(store.project, store.registry, contents)
            store.apply(changed, objects_to_delete=deleted, partial=False)
            files = definition_files.to_tag(definition_files.described(folder, modules))
            project.tags = {**project.tags, APPLIED: wanted, FILES: files}
            store.registry.apply_project(project)
        store.refresh_registry()
        return True


@explaining_database(REGISTRY)
def materialize(service: str, start: datetime, end: datetime, views: Sequence[str] | None = None) -> dict[str, int]:
    """Bring each view's newest rows with an event time in [start, end) online; how many entities, by view.

    Safe to run again, in any order and at the same time as others: a value never gives way to an older one.

    Args:
        service: The feature service whose views to materialize.
        start: Inclusive, UTC.
        end: Exclusive, UTC.
        views: Only these of its views.

    Raises:
        BadFeatures: there is no such service or view, or it promises what the lake lacks.
    """
    with fast_imports():
        from perennial.feature_store.materialization import materialize_view

    store = open_store()
    found = _views(store, service)
    unknown = sorted(set(views or ()) - set(found))
    if unknown:
        raise BadFeatures(
            f"Feature service {service!r} has no view {unknown[0]!r}.", f"It has {', '.join(sorted(found))}."
        )
    wanted = [view for name, view in found.items() if views is None or name in views]
    rows = {view.name: materialize_view(store, view, start, end) for view in wanted}
    store.refresh_registry()
    return rows


@explaining_database(REGISTRY)
def historical_features(
    service: str,
    entities: pa.Table,
    snapshots: Mapping[str, int | None] | None = None,
    known_at_the_time: bool = True,
) -> pa.Table:
    """What was known of each entity at its `event_timestamp`: the rows as they came, in their order, with the features
    of the service and `<view>__event_timestamp` (UTC; null where nothing was known) for each of its views.

    Args:
        service: The feature service.
        entities: The join keys of the service's views and `event_timestamp` (UTC if it has no time zone).
        snapshots: Lake tables to read in these snapshots instead of the current ones.
        known_at_the_time: Feature rows whose source says that they were written after an entity's `event_timestamp`
            (its `created_timestamp_column`) are not seen.

    Raises:
        BadFeatures: there is no such service, the entities lack a key, or a view promises what the lake lacks.
    """
    store = open_store(keep_event_timestamps=True, snapshots=snapshots)
    job = store.get_historical_features(
        entity_df=entities,  # our offline store takes Arrow as it is
        features=_service(store, service),
        filter_by_created_timestamp=known_at_the_time,
    )
    return job.to_arrow()


@explaining_database(REGISTRY)
def online_features(
    service: str, keys: Sequence[Mapping[str, Any]], event_timestamps: bool = False
) -> list[dict[str, Any]]:
    """The newest materialized features of each entity: its keys and the features of the service, None if unknown.

    What becomes of values older than their view's `ttl` says `online_store: expired:` in feature_store.yaml; by default
    they are served.

    Args:
        service: The feature service.
        keys: The join keys of the service's views, for each entity.
        event_timestamps: Also return `<view>__event_timestamp` (UTC, to the microsecond; None where nothing is known)
            for each view with rows of its own.

    Raises:
        BadFeatures: there is no such service.
    """
    from perennial.feature_store import EVENT_TIMESTAMP

    if not keys:
        return []
    store = open_store()
    found = _service(store, service)
    answer = store.get_online_features(features=found, entity_rows=[dict(key) for key in keys])
    columns = answer.to_dict()
    if event_timestamps:
        results = dict(zip(answer.proto.metadata.feature_names.val, answer.proto.results, strict=True))
        views = _views(store, service)
        for projection in found.feature_view_projections:
            result = results.get(projection.features[0].name)
            if result is not None and projection.name in views:
                columns[f"{projection.name_alias or projection.name}{EVENT_TIMESTAMP}"] = [
                    time.ToDatetime(UTC) if time.ByteSize() else None for time in result.event_timestamps
                ]
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def applied() -> str | None:
    """The digest of the definitions that the registry holds; None when they were not applied by Perennial."""
    return _applied(open_store())


@explaining_database(REGISTRY)
def feature_names(service: str) -> list[str]:
    """The features of a service, in its own order, as retrievals name them."""
    found = _service(open_store(), service)
    return [feature.name for projection in found.feature_view_projections for feature in projection.features]


@explaining_database(REGISTRY)
def join_keys(service: str) -> list[str]:
    """The columns by which a service's views are joined."""
    views = _views(open_store(), service)
    return list(dict.fromkeys(key for view in views.values() for key in view.join_keys if key != "__dummy_id"))


@explaining_database(REGISTRY)
def feature_views(service: str) -> dict[str, FeatureView]:
    """The views of a service that have rows of their own, as the registry holds them now."""
    return _views(open_store(), service)


@explaining_database(REGISTRY)
def lake_tables(service: str) -> dict[str, str]:
    """The lake table behind each view of a service."""
    from perennial.feature_store.scan import lake_source

    views = _views(open_store(), service)
    return {name: lake_source(view.batch_source, f"Feature view {name!r}").table for name, view in views.items()}


def _service(store: FeatureStore, name: str) -> FeatureService:
    from feast.errors import FeatureServiceNotFoundException

    try:
        return store.get_feature_service(name)
    except FeatureServiceNotFoundException as error:
        known = sorted(service.name for service in store.list_feature_services())
        raise BadFeatures(
            f"There is no feature service {name!r}.",
            f"Define it in feature_repo/ (applied so far: {', '.join(known) or 'none'}).",
        ) from error


def _views(store: FeatureStore, service: str) -> dict[str, FeatureView]:
    """The views of a service that have rows of their own: also those behind its on-demand views."""
    from feast import OnDemandFeatureView
    from feast.errors import FeatureViewNotFoundException

    names = [projection.name for projection in _service(store, service).feature_view_projections]
    found: dict[str, FeatureView] = {}
    while names:
        name = names.pop(0)
        try:
            view: Any = store.registry.get_any_feature_view(name, store.project)
        except FeatureViewNotFoundException as error:
            raise BadFeatures(
                f"Feature service {service!r} names feature view {name!r}, which is gone.",
                "Define the view again, or take it out of the service, in feature_repo/.",
            ) from error
        if isinstance(view, OnDemandFeatureView):
            names.extend(projection.name for projection in view.source_feature_view_projections.values())
        else:
            found[name] = view
    return found


def _applied(store: FeatureStore) -> str | None:
    """The digest of the definitions applied last. Feast's own `apply` drops it, so ours then applies again."""
    from feast.errors import ProjectObjectNotFoundException

    try:
        return store.registry.get_project(store.project, allow_cache=False).tags.get(APPLIED)
    except ProjectObjectNotFoundException:
        return None


@cache
def _store(process: int, folder: Path, home: Path) -> FeatureStore:
    """One store a process: connections do not survive a fork, and tests change the home."""
    with fast_imports():
        from feast import FeatureStore

    store = FeatureStore(config=config_of(folder))
    store.repo_path = folder
    store.registry  # noqa: B018 - connects now, so that variants share it
    return store


def config_of(folder: Path) -> RepoConfig:
    """The configuration in `feature_store.yaml` of a feature repository."""
    from feast.repo_config import load_repo_config

    return load_repo_config(folder, folder / "feature_store.yaml")


@contextmanager
def _teaching(problem: str) -> Iterator[None]:
    """Turn Feast's complaints about definitions into ours."""
    from feast.errors import FeastError

    try:
        yield
    except (FeastError, ValueError) as error:
        raise BadFeatures(f"{problem}: {error}", "Mend feature_repo/; `feast plan` there shows the same.") from error
