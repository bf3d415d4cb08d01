"""Retrieves features by the definitions on disk, without changing the registry that everybody shares."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from perennial.feature_store import applying, definitions, store
from perennial.settings import settings


@contextmanager
def use_local_definitions() -> Iterator[None]:
    """Inside, `repository` uses the definitions of `feature_repo/` as they are on disk.

    If they are the ones applied last, through the shared registry. Otherwise through a temporary registry file, with an
    empty online store beside it; both are deleted afterwards.

    Raises:
        BadFeatures: A definition is wrong.
    """
    folder = settings().feature_repo
    if applying.applied_digest() == definitions.digest(folder):
        yield
        return
    from feast import FeatureStore, Project
    from feast.repo_operations import extract_objects_for_apply_delete

    with tempfile.TemporaryDirectory() as temporary:
        config = store.load_config(folder)
        config.registry_config = {"registry_type": "file", "path": str(Path(temporary) / "registry.db")}
        config.online_config = {"type": "sqlite", "path": str(Path(temporary) / "online.db")}
        local = FeatureStore(config=config)
        local.repo_path = folder
        # What a view names may not be in the lake yet: what is retrieved is checked when it is.
        contents = definitions.read(folder, lambda source: {})
        if not contents.projects:
            contents.projects.append(Project(name=local.project))
        changed, _, _, _ = extract_objects_for_apply_delete(local.project, local.registry, contents)
        local.apply(changed, partial=True)
        with store.use_store(local):
            yield
