"""Versions that callers ask for by number although they do not serve: loaded on demand, a few kept."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from datetime import UTC, datetime

from perennial.errors import ServiceUnavailable, UnknownVersion, VersionNotServed
from perennial.feature_store import repository
from perennial.lake_cache import catalog
from perennial.registry import ledger, tracking
from perennial.serving import loaded_version
from perennial.serving.loaded_version import LoadedVersion
from perennial.use_case import UseCase

log = logging.getLogger(__name__)

#: How many are kept, of all use cases together; the one that was asked for longest ago makes room.
MOST = 4


class PinnedVersions:
    """The versions loaded on demand; used from several threads."""

    def __init__(self) -> None:
        self._loaded: OrderedDict[tuple[str, int], LoadedVersion] = OrderedDict()
        # Where the ledger was when a version's margin was read from it.
        self._ledger_at: dict[tuple[str, int], str | None] = {}
        self._changing = threading.Lock()
        self._loading = threading.Lock()

    def get(self, use_case: str, number: int) -> LoadedVersion | None:
        """A version if it is loaded.

        Args:
            use_case: The use case's name.
            number: The version.
        """
        with self._changing:
            version = self._loaded.get((use_case, number))
            if version is not None:
                self._loaded.move_to_end((use_case, number))
            return version

    def load(self, use_case: UseCase, number: int) -> LoadedVersion:
        """A version, checked as every version is that serves; loaded if it is not yet, one at a time.

        Args:
            use_case: Whose version.
            number: The version.

        Raises:
            VersionNotServed: the registry has no such version.
            ServiceUnavailable: the lake or MLflow does not answer.
            ChangedArtifact: the version's files are not those that training wrote.
        """
        definitions = repository.applied_digest()
        with self._loading:
            version = self.get(use_case.name, number)
            if version is None or version.definitions != definitions:
                version = loaded_version.load(use_case, entry_of(use_case, number), definitions)
            version = self._with_margin(version)
            with self._changing:
                self._loaded[(use_case.name, number)] = version
                while len(self._loaded) > MOST:
                    self._ledger_at.pop(self._loaded.popitem(last=False)[0], None)
            return version

    def _with_margin(self, version: LoadedVersion) -> LoadedVersion:
        """A version with the margin that the ledger names now; the whole ledger is read only where it has changed.

        Where it does not answer, the version keeps the margin that it has.
        """
        if version.use_case.interval is None:
            return version
        key, table = (version.use_case.name, version.number), version.use_case.tables.ledger
        try:
            ledger_at = catalog.locations([table]).get(table)
            if ledger_at is None or ledger_at != self._ledger_at.get(key):
                version = loaded_version.with_recorded_margin(version)
                self._ledger_at[key] = ledger_at
        except ServiceUnavailable as error:
            log.warning("%s: v%d keeps its margin: %s", *key, error)
        return version


def entry_of(use_case: UseCase, number: int) -> ledger.Entry:
    """The newest entry of the ledger about a version; of one that nobody has decided on, what the registry knows.

    Args:
        use_case: Whose version.
        number: The version.

    Raises:
        VersionNotServed: the registry has no such version.
        ServiceUnavailable: the lake or MLflow does not answer.
    """
    about = [entry for entry in ledger.entries(use_case) if entry.model_version == number]
    if about:
        return about[-1]
    try:
        run = tracking.run_of(use_case, number)
    except UnknownVersion as error:
        # Callers over HTTP are not to learn where the registry is.
        problem = f"Model {use_case.name!r} has no version {number}."
        raise VersionNotServed(problem, tracking.known_versions(use_case)) from error
    never = datetime.max.replace(tzinfo=UTC)
    return ledger.Entry(f"pinned:{number}", "", "rejected", number, None, run, never, "", "not decided on", {}, never)
