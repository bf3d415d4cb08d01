"""The versions that a server serves: loaded when it starts, and exchanged when the ledger names another one."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import msgspec

from perennial.errors import PerennialError, UnknownUseCase, UnknownVersion, VersionNotServed
from perennial.feature_store import repository
from perennial.lake_cache import catalog
from perennial.registry import ledger
from perennial.serving import loaded_version
from perennial.serving.challengers import Challengers
from perennial.serving.loaded_version import LoadedVersion
from perennial.use_case import UseCase

log = logging.getLogger(__name__)

#: How often the ledger is looked at, in seconds.
POLL = 0.5
#: How often the feature definitions are looked at, and a version that could not be loaded is tried again, in seconds.
_SELDOM = 10.0


class ServingState(msgspec.Struct, frozen=True, omit_defaults=True):
    """What serves of one use case, as everybody may see it.

    Attributes:
        model_version: The version that serves; None: none yet.
        ledger_version: The version that the ledger names; None: none yet, or not known.
        problem: The kind of error by which the two differ, or the ledger cannot be read; the log has the rest.
        challenger: The version that is tried beside it; None: none is.
        stage: The stage of its rollout.
        challenger_problem: The kind of error by which the challenger cannot be loaded.
    """

    model_version: int | None
    ledger_version: int | None
    problem: str | None
    challenger: int | None = None
    stage: str | None = None
    challenger_problem: str | None = None


@dataclass
class _Served:
    """One use case's place in a server.

    Attributes:
        loaded: What serves; None: nothing yet.
        ledger_at: Where the ledger was when it was read last; None: it has to be read.
        problem: Why the version that the ledger names is not the one that serves; None: it is.
        ledger_version: See `ServingState`.
        failures: How often in a row it could not be loaded.
        failed_at: When that was the last time, by the monotonic clock.
    """

    use_case: UseCase
    loaded: LoadedVersion | None = None
    ledger_at: str | None = None
    problem: PerennialError | None = None
    ledger_version: int | None = None
    failures: int = 0
    failed_at: float = 0.0

    def is_to_be_retried(self) -> bool:
        """Whether it is time to load it again: soon at first, since a connection may just have been an old one."""
        return self.problem is not None and time.monotonic() >= self.failed_at + 2.0 ** min(self.failures - 1, 10)


class Champions:
    """The loaded champions of some use cases. One thread calls `refresh`; any thread reads.

    Args:
        use_cases: Whose champions.
        discover: What to serve instead, asked now and then; one that stays keeps the declaration it had. None:
            `use_cases` for ever.

    Attributes:
        challengers: Those that are tried.
    """

    def __init__(self, use_cases: Sequence[UseCase], discover: Callable[[], Sequence[UseCase]] | None = None) -> None:
        self._discover = discover
        self._served = {use_case.name: _Served(use_case) for use_case in use_cases}
        self._next_look = 0.0
        self._definitions: str | None = None
        self._has_read = False
        self.ended = threading.Event()
        self._woken = threading.Event()
        self._unreachable: PerennialError | None = None
        self.challengers = Challengers()

    @property
    def names(self) -> list[str]:
        """The use cases that are served."""
        return sorted(self._served)

    def are_ready(self) -> bool:
        """Whether every use case has a version that serves.

        Of those that are not named but found, one that never had a champion is not waited for, unless none has: who
        begins with a new use case would take the others from their callers.
        """
        served = list(self._served.values())
        if self._discover is not None and not self._has_read:
            return False  # Nobody knows yet what is to be served.
        if self._discover is not None and any(each.loaded for each in served):
            served = [each for each in served if each.ledger_version is not None or each.problem is not None]
        return all(each.loaded is not None for each in served)

    def use_case(self, name: str) -> UseCase:
        """A use case that is served, whether a version of it serves yet or not.

        Raises:
            UnknownUseCase: it is not.
        """
        served = self._served.get(name)
        if served is None:
            raise UnknownUseCase(f"This server does not serve use case {name!r}.", "Start it with that use case.")
        return served.use_case

    def version(self, name: str, number: int | None = None) -> LoadedVersion:
        """The version of a use case that serves.

        Args:
            name: The use case.
            number: Which version it has to be; None: whichever serves.

        Raises:
            UnknownVersion: none does yet.
            VersionNotServed: another one does.
        """
        served = self._served.get(name)
        if served is None or served.loaded is None:
            raise (served and served.problem) or UnknownVersion(
                f"Use case {name!r} has no champion in production yet.",
                f"Train one: `perennial trigger {name} training --wait`.",
            )
        if number not in (None, served.loaded.number):
            raise VersionNotServed(
                f"Use case {name!r}: v{number} does not serve; v{served.loaded.number} does.",
                "Ask without a version: the one that the ledger names answers.",
            )
        return served.loaded

    def state(self) -> dict[str, ServingState]:
        """What serves, by use case."""
        return {name: self._state(served) for name, served in self._served.items()}

    def _state(self, served: _Served) -> ServingState:
        problem = served.problem or self._unreachable
        trial = self.challengers.of(served.use_case.name)
        return ServingState(
            served.loaded.number if served.loaded else None,
            served.ledger_version,
            type(problem).__name__ if problem else None,
            trial.state.version if trial else None,
            trial.state.stage.name if trial else None,
            type(trial.problem).__name__ if trial and trial.problem else None,
        )

    def watch(self) -> None:
        """Call `try_refresh` now and then, and whenever `wake` is called, until `end` is."""
        while not self.ended.is_set():
            self._woken.wait(POLL)
            self._woken.clear()
            self.try_refresh()

    def try_refresh(self) -> None:
        """Call `refresh`; whatever fails, what is loaded goes on serving."""
        try:
            self.refresh()
        except Exception:
            log.exception("The served versions could not be refreshed; trying again.")

    def wake(self) -> None:
        """Let `watch` look at the ledger at once."""
        self._woken.set()

    def end(self) -> None:
        """Let `watch` return."""
        self.ended.set()
        self._woken.set()

    def refresh(self) -> None:
        """Load what the ledger names, where that has changed, beside what serves, and exchange it."""
        is_due = time.monotonic() >= self._next_look
        if is_due:
            self._next_look = time.monotonic() + _SELDOM
            self._discover_use_cases()
        try:
            ledgers = catalog.locations([served.use_case.tables.ledger for served in self._served.values()])
            definitions = repository.applied_digest() if is_due else self._definitions
        except PerennialError as error:
            self._note_outage(error)
            return
        self._note_outage(None)
        for served in self._served.values():
            ledger_at = ledgers.get(served.use_case.tables.ledger)
            name = served.use_case.name
            is_failing = served.problem is not None or name in self.challengers.problems()
            is_retried = (is_failing and (is_due or served.is_to_be_retried())) or name in self.challengers.over()
            if ledger_at != served.ledger_at or definitions != self._definitions or is_retried:
                self._exchange(served, ledger_at, definitions)
                self.challengers.refresh(served.use_case, served.loaded, definitions)
        self._definitions = definitions
        self._has_read = True

    def _discover_use_cases(self) -> None:
        if self._discover is None:
            return
        served = {each.name: self._served.get(each.name) or _Served(each) for each in self._discover()}
        if served.keys() != self._served.keys():
            log.info("Serving %s", ", ".join(sorted(served)) or "nothing")
        self._served = served  # At once: other threads read it.

    def _exchange(self, served: _Served, ledger_at: str | None, definitions: str | None) -> None:
        name = served.use_case.name
        try:
            entry = ledger.champion(served.use_case)
            served.ledger_version = entry.model_version if entry else None
            before = served.loaded
            if entry and (before is None or (before.entry, before.definitions) != (entry, definitions)):
                tried = self.challengers.loaded(name, entry.model_version)
                if tried is not None and tried.definitions == definitions:
                    served.loaded = replace(tried, entry=entry)
                else:
                    served.loaded = loaded_version.load(served.use_case, entry, definitions)
                log.info("%s: v%d serves%s", name, entry.model_version, f" after v{before.number}" if before else "")
            elif before is not None:
                served.loaded = loaded_version.with_recorded_margin(before)
            served.problem, served.ledger_at, served.failures = None, ledger_at, 0
        except Exception as error:
            serving = f"v{served.loaded.number} goes on serving" if served.loaded else "nothing serves"
            log.exception("%s: v%s could not be loaded; %s", name, served.ledger_version, serving)
            served.problem = error if isinstance(error, PerennialError) else PerennialError(str(error))
            served.ledger_at = ledger_at
            served.failures += 1
            served.failed_at = time.monotonic()

    def _note_outage(self, error: PerennialError | None) -> None:
        if error is not None and self._unreachable is None:
            log.warning("The ledger does not answer; what is loaded goes on serving: %s", error)
        if error is None and self._unreachable is not None:
            log.info("The ledger answers again.")
        self._unreachable = error
