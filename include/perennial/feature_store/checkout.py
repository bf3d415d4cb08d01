"""Retrieving by the definitions of this checkout, whatever the shared registry holds, and without changing it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from perennial.feature_store import definitions, repository
from perennial.settings import settings


@contextmanager
def own_definitions() -> Iterator[None]:
    """Inside, `repository` answers by `feature_repo/` as it is on disk.

    Where that is what was applied last, by the shared registry. Otherwise by one in a file of its own, with an empty
    online store beside it, both gone afterwards.

    Raises:
        BadFeatures: a definition is wrong.
    """
    folder = settings().feature_repo
    if repository.applied() == definitions.digest(folder):
        yield
        return
    from feast import FeatureStore, Project
    from feast.repo_operations import extract_objects_for_apply_delete

    with tempfile.TemporaryDirectory() as aside:
        config = repository.config_of(folder)
        config.registry_config = {"registry_type": "file", "path": str(Path(aside) / "registry.db")}
        config.online_config = {"type": "sqlite", "path": str(Path(aside) / "online.db")}
        # Feast keeps what it made of the settings before.
        for made in ("registry", "online_store"):
            setattr(config, f"_{made}", None)
        store = FeatureStore(config=config)
        store.repo_path = folder
        contents = definitions.read(folder)
        if not contents.projects:
            contents.projects.append(Project(name=store.project))
        changed, _, _, _ = extract_objects_for_apply_delete(store.project, store.registry, contents)
        store.apply(changed, partial=True)
        with repository.answering_by(store):
            yield
