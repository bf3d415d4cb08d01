"""Applies the definitions in `feature_repo/` to the Feast registry, when they are not the ones applied last."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from perennial._common.heavy_imports import fast_imports
from perennial._common.storage import explaining_database
from perennial.errors import BadFeatures
from perennial.feature_store.store import REGISTRY, open_store
from perennial.services import postgres
from perennial.settings import settings

if TYPE_CHECKING:
    from feast import FeatureStore
    from feast.repo_contents import RepoContents

#: What is called before anything is applied: with the store, the definitions, and the files that were left out.
Before = Callable[["FeatureStore", "RepoContents", Mapping[Path, BadFeatures]], Collection[tuple[str, str]] | None]
#: The tag of the Feast project that holds the digest of the definitions applied last.
APPLIED = "perennial.definitions"
#: The tag that holds the digest of each of their files.
FILES = "perennial.files"


@explaining_database(REGISTRY)
def apply_if_changed(before: Before | None = None, *, skip_broken: bool = False) -> bool:
    """Apply the definitions in `feature_repo/` unless they are the ones applied last.

    What was materialized stays recorded. After a kill at any moment, the next call applies again; so it does after one
    that applied a part.

    Args:
        before: Called with the store and the definitions while the registry is locked and not changed yet. It returns
            which objects are applied or deleted, as (kind, name); None: all. If it raises, the registry stays as it is.
        skip_broken: Leave out files that cannot be imported, instead of failing; `before` is told them.

    Returns:
        Whether anything was applied.

    Raises:
        BadFeatures: A definition is wrong.
        ServiceUnavailable: The registry's database does not answer.
    """
    with fast_imports():
        from feast import Project
    from feast.repo_operations import extract_objects_for_apply_delete

    from perennial.feature_store import definitions
    from perennial.feature_store.definitions import files

    folder = settings().feature_repo
    store = open_store()
    digest = definitions.digest(folder)
    with postgres.advisory_lock("feast", store.project):
        if _applied_digest(store) == digest:
            return False
        contents, modules, broken = definitions.read_working(folder)
        if broken and not skip_broken:
            raise next(iter(broken.values()))
        part = before(store, contents, broken) if before is not None else None
        if part is not None and not part:
            return False
        project = next(iter(contents.projects), None) or Project(name=store.project)
        contents.projects[:] = [project]
        with _explaining_errors():
            # The project, among the changed, goes first and loses its digest, which is written once all else is.
            changed, deleted, _, _ = extract_objects_for_apply_delete(store.project, store.registry, contents)
            if part is not None:
                changed = [project, *(thing for thing in changed if _name_of(thing) in part)]
                deleted = [thing for thing in deleted if _name_of(thing) in part]
            store.apply(changed, objects_to_delete=deleted, partial=False)
            if part is not None:
                store.refresh_registry()
                return True
            described = files.to_tag(files.describe(folder, modules))
            project.tags = {**project.tags, APPLIED: digest, FILES: described}
            store.registry.apply_project(project)
        store.refresh_registry()
        return True


def _name_of(thing: object) -> tuple[str, str]:
    """Kind and name of a Feast object, as `feature_changes` names them; of a kind of which it knows none, no name."""
    from feast import Entity, FeatureService
    from feast.base_feature_view import BaseFeatureView

    match thing:
        case Entity():
            return "entity", thing.name
        case BaseFeatureView():
            return "view", thing.name
        case FeatureService():
            return "service", thing.name
    return "", ""


def applied_digest() -> str | None:
    """The digest of the definitions that the registry holds; None when they were not applied by Perennial."""
    return _applied_digest(open_store())


def _applied_digest(store: FeatureStore) -> str | None:
    """Read the project's tag. Feast's own `apply` drops it, so ours then applies again."""
    from feast.errors import ProjectObjectNotFoundException

    try:
        return store.registry.get_project(store.project, allow_cache=False).tags.get(APPLIED)
    except ProjectObjectNotFoundException:
        return None


@contextmanager
def _explaining_errors() -> Iterator[None]:
    """Turn Feast's errors about definitions into ours."""
    from feast.errors import FeastError

    try:
        yield
    except (FeastError, ValueError) as error:
        raise BadFeatures(
            f"The definitions in feature_repo/ cannot be applied: {error}",
            "Fix feature_repo/; `feast plan` there shows the same.",
        ) from error
