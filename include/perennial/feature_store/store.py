"""Opens the project's Feast store: one for each process, or a variant that reads snapshots of the lake."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from perennial._common.heavy_imports import fast_imports
from perennial.settings import settings

if TYPE_CHECKING:
    from feast import FeatureStore
    from feast.repo_config import RepoConfig

    from perennial.feature_store.publication import Publication

#: What an error names when PostgreSQL does not answer.
REGISTRY = "The Feast registry"
#: Two processes that make the registry's tables at once may meet at each of them.
_TRIES = 30
#: The store that `use_store` sets.
_current: ContextVar[FeatureStore | None] = ContextVar("store", default=None)


def open_store(
    keep_event_timestamps: bool = False,
    snapshots: Mapping[str, int | None] | None = None,
    features: Collection[str] | None = None,
    publications: Mapping[str, Publication] | None = None,
) -> FeatureStore:
    """The Feast store of the project's `feature_repo/`, with one registry connection a process.

    Args:
        keep_event_timestamps: Historical features also come with `<view>__event_timestamp`.
        snapshots: Lake table -> the snapshot to read instead of the current one; None is the current one.
        features: Historical features come without any others than these; None: with all that are asked for.
        publications: View -> when its rows count as published in retrievals, instead of what its source declares.
    """
    store = _current.get() or _open(os.getpid(), settings().feature_repo, settings().home)
    if not keep_event_timestamps and not snapshots and features is None and not publications:
        return store
    from perennial.feature_store import _compat

    config = load_config(settings().feature_repo)
    config.offline_config |= {
        "keep_event_timestamps": keep_event_timestamps,
        "snapshots": {table: snapshot for table, snapshot in (snapshots or {}).items() if snapshot is not None},
        "features": None if features is None else sorted(features),
        "publications": dict(publications or {}),
    }
    return _compat.with_config(store, config)


@contextmanager
def use_store(store: FeatureStore) -> Iterator[None]:
    """Inside, in this thread, `open_store` returns `store` or variants of it."""
    token = _current.set(store)
    try:
        yield
    finally:
        _current.reset(token)


def load_config(folder: Path) -> RepoConfig:
    """The configuration in `feature_store.yaml` of a feature repository."""
    from feast.repo_config import load_repo_config

    config = load_repo_config(folder, folder / "feature_store.yaml")
    # Online stores that environments share tell their rows apart by Feast's project.
    config.project = f"{config.project}_{name}" if (name := settings().environment) else config.project
    return config


@cache
def _open(process: int, folder: Path, home: Path) -> FeatureStore:
    """One store a process: connections do not survive a fork, and tests change the home."""
    with fast_imports():
        from feast import FeatureStore

    store = FeatureStore(config=load_config(folder))
    store.repo_path = folder
    _connect(store)  # Now, so that variants share it.
    return store


def _connect(store: FeatureStore) -> None:
    """Connect with the registry; another process may be making its tables, and the project's row, at the same time."""
    from sqlalchemy.exc import IntegrityError, ProgrammingError

    for _ in range(_TRIES):
        with suppress(IntegrityError, ProgrammingError):
            store.registry  # noqa: B018
            return
    store.registry  # noqa: B018
