"""Plans a change to features: everything that applying `feature_repo/` would do, without changing anything."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from perennial import discovery
from perennial.errors import BadFeatures
from perennial.feature_changes import (
    acknowledgements,
    dependents,
    differences,
    reading,
    recomputing,
    transform_schemas,
    unexplained_files,
)
from perennial.feature_changes.acknowledgements import AcknowledgementMatch
from perennial.feature_changes.definitions import Definitions
from perennial.feature_changes.dependents import Dependent
from perennial.feature_changes.differences import Change
from perennial.feature_changes.recomputing import Recomputation, RecomputationCauses
from perennial.services import credentials
from perennial.settings import settings

if TYPE_CHECKING:
    from perennial.feature_store.source import LakeSource
    from perennial.use_case import UseCase

#: Seconds that Airflow is waited for, to ask how long things took; a plan does not need it.
_PATIENCE = 2.0


@dataclass(frozen=True)
class Plan:
    """What applying `feature_repo/` would do now.

    Attributes:
        registry: Whether there is a registry yet; without one everything is new.
        changes: Of entities, views and services.
        matched: The destructive ones among them, and their acknowledgements.
        dependents: Use cases and model versions that use what changes.
        recomputations: Partitions to compute again, by use case that has any.
        widened: Lake table -> columns that it lacks and its transform returns.
        notes: What else a person should know.
        unexplained: Files that are not those that the registry was made from, and that no change explains.
    """

    registry: bool
    changes: tuple[Change, ...]
    matched: AcknowledgementMatch
    dependents: tuple[Dependent, ...]
    recomputations: tuple[Recomputation, ...]
    widened: Mapping[str, tuple[str, ...]]
    notes: tuple[str, ...]
    unexplained: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do."""
        return not self.changes and not self.unexplained and not any(one.why for one in self.recomputations)

    @property
    def is_refused(self) -> bool:
        """Whether it destroys something that nobody acknowledged."""
        return bool(self.matched.unacknowledged)

    def check_acknowledgements(self) -> None:
        """Fail if an acknowledgement fits nothing.

        Raises:
            BadFeatures: one does.
        """
        if self.matched.stale:
            stale = "\n".join(f"  {entry.object}: {entry.change} ({why})" for entry, why in self.matched.stale)
            raise BadFeatures(
                f"feature_repo/{acknowledgements.FILE} acknowledges what is not to be destroyed:\n{stale}",
                "Delete or correct the entry: left there, it could excuse a mistake later.",
            )


def plan(everything: bool = False, timed: bool = True) -> Plan:
    """What applying `feature_repo/` would do now. Changes nothing, and does not need Airflow or MLflow to answer.

    Args:
        everything: Compute all partitions in the lake again.
        timed: Ask Airflow how long it took last time.

    Raises:
        BadFeatures: a definition, a transform or the file of acknowledgements is wrong.
        ServiceUnavailable: the registry's or the lake's database does not answer.
    """
    use_cases, broken = discovery.load_all()
    expected = _ExpectedColumns(use_cases, has_lake())
    before, after = reading.registered(), _declared(expected)
    changes = differences.compare(before, after)
    depending = dependents.find_dependents(changes, before, after, use_cases, expected.has_lake)
    changes = dependents.mark_champion_losses(changes, depending, before, after)
    entries = acknowledgements.read(settings().feature_repo)
    # What is not compared (a comment, or what nobody thought of) is noted, and applied, rather than left out.
    unexplained = unexplained_files.unexplained_files(before, after, changes)
    active = [use_case for use_case in use_cases if discovery.retirement(use_case.name) is None]
    recomputations = _recomputations(active, before, after, expected, everything) if expected.has_lake else []
    if timed:
        recomputations = _timed(recomputations)
    notes = [f"{name} is left out: {error.problem}" for name, error in broken.items()]
    notes += _notes(before, after, depending, recomputations, expected)
    notes += [unexplained_files.note(unexplained)] if unexplained else []
    return Plan(
        registry=before.exists,
        changes=tuple(changes),
        matched=acknowledgements.match(changes, entries, before, after),
        dependents=tuple(depending),
        recomputations=tuple(recomputations),
        widened={table: tuple(columns) for table, columns in expected.widened.items()},
        notes=tuple(notes),
        unexplained=unexplained,
    )


def _declared(expected: _ExpectedColumns) -> Definitions:
    """The definitions in `feature_repo/`; an error in them names also what is wrong with the transforms behind them."""
    try:
        return reading.declared(expected.columns)
    except BadFeatures as error:
        if not expected.notes:
            raise
        raise BadFeatures("\n".join([error.problem, *expected.notes]), error.fix) from error


def has_lake() -> bool:
    """Whether anything was ever written to the lake, looked up without creating its catalog.

    Raises:
        ServiceUnavailable: its database does not answer.
    """
    if reading.nothing_was_ever_started():
        return False
    if "type" in settings().catalog:
        return True
    from sqlalchemy import inspect
    from sqlalchemy.exc import OperationalError

    from perennial._common.storage import explaining_database
    from perennial.services import postgres

    with explaining_database("The lake's catalog"):
        try:
            return inspect(postgres.engine("lake")).has_table("iceberg_tables")
        except OperationalError as error:
            if reading.lacks_database(error):
                return False
            raise


class _ExpectedColumns:
    """The columns that feature tables have in the lake, or will have once their transforms have run."""

    def __init__(self, use_cases: Iterable[UseCase], has_lake: bool) -> None:
        self.has_lake = has_lake
        self.notes: list[str] = []
        self.widened: dict[str, list[str]] = {}
        self.gone: dict[str, set[str]] = {}
        self._tables = {each.tables[table.name]: (each, table.name) for each in use_cases for table in each.features}
        self._known: dict[str, dict[str, str]] = {}

    def columns(self, source: LakeSource) -> dict[str, str]:
        """The columns of a source's table, with their Iceberg types; none while they are not known."""
        if source.table not in self._known:
            self._known[source.table] = self._look(source) if self.has_lake else {}
        return self._known[source.table]

    def _look(self, source: LakeSource) -> dict[str, str]:
        stored = source.columns()
        if source.table not in self._tables:
            return stored
        use_case, table = self._tables[source.table]
        try:
            expected = transform_schemas.expected_columns(use_case, table) or {}
        except BadFeatures as error:
            self.notes.append(f"What {source.table} will hold is not known: {error.problem}")
            return stored
        added = [name for name in expected if name not in stored]
        if stored and added:
            self.widened[source.table] = added
        for name in sorted(stored.keys() & expected.keys()):
            if stored[name] != expected[name]:
                self.notes.append(
                    f"{source.table} holds {name} as {stored[name]}, its transform returns {expected[name]}: values"
                    " that fit enter, larger numbers make the column wider (int to long, float to double, a decimal of"
                    " more digits), all others are rejected: give the new values a column of another name."
                )
        self.gone[source.table] = stored.keys() - expected.keys() if expected else set()
        return expected | stored


def _recomputations(
    use_cases: Iterable[UseCase], before: Definitions, after: Definitions, expected: _ExpectedColumns, everything: bool
) -> list[Recomputation]:
    again = recomputing.views_to_materialize(before, after)
    recomputations = []
    for use_case in use_cases:
        views = {
            name: replace(view, intervals=before.views[name].intervals if name in before.views else ())
            for name, view in after.views.items()
            # Only these are brought online by the use case's pipeline.
            if ("service", use_case.feature_service) in after.dependents_of("view", name)
        }
        widened = frozenset(
            table.partition(".")[2] for table in expected.widened if table.startswith(f"{use_case.name}.")
        )
        one = recomputing.find_recomputation(use_case, views, RecomputationCauses(widened, again), everything)
        if one.why or one.unrecorded:
            recomputations.append(one)
    return recomputations


def _timed(recomputations: list[Recomputation]) -> list[Recomputation]:
    """With how long it took last time."""
    if not any(one.why for one in recomputations):
        return recomputations
    is_ours = settings().airflow_uri == f"http://{settings().airflow_host}:{settings().airflow_port}"
    if is_ours and not credentials.path().exists():
        return [replace(one, measured="not known: Airflow was never started here") for one in recomputations]
    from perennial.services.airflow_api import AirflowClient

    timed = []
    with AirflowClient(patience=_PATIENCE) as client:
        for one in recomputations:
            seconds, measured = recomputing.last_duration(client, discovery.load(one.use_case), one.partitions)
            timed.append(replace(one, seconds=seconds, measured=measured))
    return timed


def _notes(
    before: Definitions,
    after: Definitions,
    depending: Iterable[Dependent],
    recomputations: Iterable[Recomputation],
    expected: _ExpectedColumns,
) -> Iterable[str]:
    if not before.exists:
        yield "There is no registry yet: everything is new, and nothing can be destroyed."
    if not expected.has_lake:
        yield "There is no lake yet: what must be computed again is not known, because nothing was ever computed."
    yield from expected.notes
    for name, view in after.views.items():
        if gone := sorted(view.columns.keys() & expected.gone.get(view.source, set())):
            yield f"view {name} serves {', '.join(gone)}, which its transform no longer returns: null in new rows."
    for name, view in after.views.items():
        if name in before.views and before.views[name].publication != view.publication:
            yield (
                f"view {name} counts as published otherwise: the next training set and the next predictions see other"
                " rows of it at the same moments; existing ones stay as they are. `perennial staleness` prices that."
            )
    depending = list(depending)
    yield from (f"{one.use_case}: {one.trouble}" for one in depending if one.trouble)
    yield from dependents.lost_rollbacks(depending, before, after)
    for one in recomputations:
        if one.unrecorded:
            yield (
                f"{one.use_case}: {len(one.unrecorded)} of {one.in_lake} partitions were computed before their"
                " transforms were recorded; they count as up to date. `perennial apply --recompute` computes them"
                " again."
            )
