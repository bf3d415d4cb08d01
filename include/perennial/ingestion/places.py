"""Finds the place that a source is read from: the run's own, the environment's, or the declared default.

A command line and Airflow's workers are different processes: a variable that is set in one is not in the other. So the
commands that start a run send what they see along with it, and the worker reads that, or refuses.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from perennial.errors import BadBatch
from perennial.settings import settings, variable

if TYPE_CHECKING:
    from perennial.use_case import UseCase

log = logging.getLogger(__name__)


@runtime_checkable
class _Source(Protocol):
    """What a source declares, whatever it reads: see `perennial.sources.Files`."""

    default: str
    variable: str


#: Environment variable -> place, as the run that is being read for names them.
_of_run: ContextVar[Mapping[str, str] | None] = ContextVar("places", default=None)


def find(name: str, default: str, given: str | Path | None = None) -> str:
    """The place that a source is read from; it is logged.

    Args:
        name: The environment variable that may name it; empty: none does.
        default: The place that the source declares.
        given: The place that a caller names, before all others.
    """
    of_run = (_of_run.get() or {}).get(name)
    place = str(given or of_run or os.environ.get(name) or default)
    origin = "as the call says" if given else f"by {name}" if place != default else "as declared"
    log.info("Reading %s (%s%s)", shown(place), origin, ", sent with the run" if of_run and not given else "")
    return place


def shown(place: str) -> str:
    """A place as it may be logged: an address without a login and without parameters, which may grant access."""
    return re.sub(r"//[^/]*@", "//", re.split(r"[?#]", place, maxsplit=1)[0]) if "://" in place else place


def variables(use_case: UseCase) -> list[str]:
    """The environment variables that name places of a use case's sources.

    Raises:
        PerennialError: its `source.py` cannot be imported.
    """
    declared = vars(use_case.module("source")).values()
    return sorted({each.variable for each in declared if isinstance(each, _Source) and each.variable})


def seen_here(use_case: UseCase) -> dict[str, str]:
    """The places of a use case's sources that this process's environment names, to be sent with a run.

    Returns:
        Variable -> place; a folder or file of this machine as an absolute path.
    """
    places = {name: os.environ[name] for name in variables(use_case) if os.environ.get(name)}
    return {name: place if "://" in place else str(Path(place).absolute()) for name, place in places.items()}


@contextmanager
def use_places(use_case: UseCase, places: Mapping[str, str]) -> Iterator[None]:
    """Inside, sources of a use case are read from the places that a run names.

    Args:
        use_case: Its sources say which variables there are.
        places: Variable -> place.

    Raises:
        BadBatch: no source has such a variable; or the place differs from this process's, and runs may not choose
            places here (`sources_from_runs`).
    """
    known = variables(use_case) if places else []
    for name, place in places.items():
        if name not in known:
            raise BadBatch(
                f"Use case {use_case.name!r}: the run names a place by {name}, which no source in its source.py reads.",
                f"Name one of {', '.join(known) or 'none: its sources have no such variable'}.",
            )
        here = os.environ.get(name, "")
        if place != here and not settings().runs_may_choose_sources:
            raise BadBatch(
                f"Use case {use_case.name!r}: whoever started the run has {name}={shown(place)}, Airflow's workers have"
                f" {f'another {name}' if here else f'no {name}'}.",
                f"Unset {name} where the run is started, or set it for the workers and restart them. To let runs choose"
                f" what is read, set {variable('sources_from_runs')}=true for the workers.",
            )
    token = _of_run.set(dict(places))
    try:
        yield
    finally:
        _of_run.reset(token)
