"""Registers the definitions in `feature_repo/`: exactly what a plan shows, or nothing."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from perennial import discovery
from perennial.errors import PerennialError
from perennial.feature_changes import (
    acknowledgements,
    dependents,
    differences,
    reading,
    recomputing,
    rendering,
    transform_schemas,
)
from perennial.feature_store import repository
from perennial.settings import settings

if TYPE_CHECKING:
    from pathlib import Path

    from feast import FeatureStore
    from feast.repo_contents import RepoContents

    from perennial.errors import BadFeatures
    from perennial.feature_changes.definitions import Definitions
    from perennial.feature_changes.differences import Change
    from perennial.feature_changes.planning import Plan
    from perennial.use_case import UseCase

log = logging.getLogger(__name__)


class ChangeRefused(PerennialError):
    """A change would destroy something that nobody acknowledged."""


class ChangedMeanwhile(PerennialError):
    """The registry, or `feature_repo/`, has changed since the plan was made; nothing was applied."""


def apply(plan: Plan) -> bool:
    """Register the definitions; return whether the registry was changed.

    Under the lock that the pipelines hold when they apply, and by the same function. The change is computed once more
    there: if it is not the plan's, nothing happens. Two at once apply once. Killed anywhere, the next call, or the next
    pipeline, applies again.

    Raises:
        ChangeRefused: it destroys something unacknowledged.
        ChangedMeanwhile: somebody has changed either side since the plan was made.
        BadFeatures: a definition is wrong, or an acknowledgement fits nothing.
    """
    plan.check_acknowledgements()
    if plan.is_refused:
        raise ChangeRefused(
            "Refused: the change destroys what it does not acknowledge.",
            f"Add to feature_repo/{acknowledgements.FILE}, with a reason:\n"
            f"{rendering.entries(plan.matched.unacknowledged)}",
        )
    _widen(plan)

    def check(store: FeatureStore, contents: RepoContents, _: Mapping[Path, BadFeatures]) -> None:
        before, after = reading.registered(), reading.from_contents(contents)
        now = differences.compare(before, after)
        if _facts(now) != _facts(plan.changes):
            raise ChangedMeanwhile(
                "The registry, or feature_repo/, was changed since the plan was made; nothing was applied.",
                "Run the same command again: it makes a new plan.",
            )
        _check_acknowledged(now, before, after)
        _forget(store, recomputing.views_to_materialize(before, after))

    return repository.apply_if_changed(check)


def apply_safely(use_case: UseCase) -> bool:
    """Register the definitions if they changed and destroy nothing unacknowledged; return whether they changed.

    For pipelines, which show nobody a plan. If nothing changed, it costs no more than `repository.apply_if_changed`.
    What another use case changes never stops this one's: where that is broken, or destroys something unacknowledged,
    only what this use case's feature service is made of is registered, and the rest stays registered as it was.
    With `PERENNIAL_PIPELINES_APPLY=false`, and in a run of a git bundle, nothing is registered.

    Args:
        use_case: Whose pipeline applies.

    Raises:
        ChangeRefused: the change destroys something of this use case unacknowledged, or only `perennial apply` may
            register what changed of it; the registry is as it was.
        BadFeatures: a definition of this use case is wrong; likewise.
    """

    def check(
        store: FeatureStore, contents: RepoContents, broken: Mapping[Path, BadFeatures]
    ) -> set[tuple[str, str]] | None:
        before, after = reading.registered(), reading.from_contents(contents)
        changes = differences.compare(before, after)
        own = {each for side in (before, after) for each in side.made_of("service", use_case.feature_service)}
        if not settings().pipelines_apply:
            _refuse_unregistered(use_case, [change for change in changes if _id(change) in own])
            return set()
        unacknowledged = _unacknowledged(changes, before, after)
        views = recomputing.views_to_materialize(before, after)
        if not unacknowledged and not broken:
            _forget(store, views)
            return None
        if ("service", use_case.feature_service) not in own or any(_id(change) in own for change in unacknowledged):
            for error in broken.values():  # The file that is missing is the likely reason.
                raise error
        _refuse([change for change in unacknowledged if _id(change) in own])
        for problem in [*(error.problem for error in broken.values()), *map(_in_words, unacknowledged)]:
            log.warning("Of another use case, and not registered: %s. See `perennial plan`", problem)
        own &= {_id(change) for change in changes}
        _forget(store, {name: why for name, why in views.items() if ("view", name) in own})
        return own

    return repository.apply_if_changed(check, skip_broken=True)


def _refuse_unregistered(use_case: UseCase, changes: Sequence[Change]) -> None:
    if changes:
        commit = settings().commit
        raise ChangeRefused(
            f"Use case {use_case.name!r}: feature_repo/{f' of commit {commit}' if commit else ''} has other definitions"
            f" than are registered: {'; '.join(map(_in_words, changes))}",
            "If they are newer, run `perennial apply` with them, then this task again. If older ones are registered by"
            " now, start a new run: it begins with the newest commit.",
        )


def _check_acknowledged(changes: Sequence[Change], before: Definitions, after: Definitions) -> None:
    """Fail if a change destroys what is not acknowledged, by who is champion now."""
    _refuse(_unacknowledged(changes, before, after))


def _unacknowledged(changes: Sequence[Change], before: Definitions, after: Definitions) -> Sequence[Change]:
    """The changes that destroy what is not acknowledged, by who is champion now."""
    if any(change.kind == "service" and change.action == "removed" for change in changes):
        # Only then does it matter who needs what; it takes asking MLflow.
        use_cases, _ = discovery.load_all()
        depending = dependents.find_dependents(changes, before, after, use_cases, has_lake=True)
        changes = dependents.mark_champion_losses(changes, depending, before, after)
    entries = acknowledgements.read(settings().feature_repo)
    return acknowledgements.match(changes, entries, before, after).unacknowledged


def _refuse(unacknowledged: Sequence[Change]) -> None:
    if unacknowledged:
        raise ChangeRefused(
            "The definitions in feature_repo/ destroy what they do not acknowledge: "
            + "; ".join(map(_in_words, unacknowledged)),
            "If this checkout is older than the registry, update it. Otherwise see `perennial plan`.",
        )


def _id(change: Change) -> tuple[str, str]:
    return change.kind, change.name


def _in_words(change: Change) -> str:
    return f"{change.object}: {change.description}"


def _facts(changes: Sequence[Change]) -> set[tuple[str, str, str]]:
    return {(change.object, change.description, change.after) for change in changes}


def _widen(plan: Plan) -> None:
    """Give the feature tables in the lake the columns that their transforms return now.

    A view that names them can then be registered before the first partition is computed again. Columns are only added,
    and nothing happens the second time.
    """
    from perennial import lake

    for table in plan.widened:
        use_case, _, name = table.partition(".")
        schema = transform_schemas.expected_schema(discovery.load(use_case), name)
        if schema is not None:
            lake.add_columns(table, schema)


def _forget(store: FeatureStore, views: dict[str, str]) -> None:
    """Remove the intervals that are online by the old definition from views whose rows must be published again.

    Before anything else, so that a process killed in between leaves a record of what is to be done.
    """
    from feast.errors import FeatureViewNotFoundException
    from feast.infra.registry.registry import Registry

    for name in views:
        try:
            view = store.registry.get_feature_view(name, store.project)
        except FeatureViewNotFoundException:
            continue  # It is new, or not a view with rows of its own.
        if view.materialization_intervals:
            first = min(start for start, _ in view.materialization_intervals)
            # An empty one: to Feast no interval at all means those that it has.
            view.materialization_intervals = [(first, first)]
            store.registry.apply_feature_view(view, store.project)
            if isinstance(store.registry, Registry):
                _forget_in_file(store.registry, store.project, name)


def _forget_in_file(registry: Any, project: str, view: str) -> None:
    """In a file, Feast's `apply_feature_view` leaves intervals as they were when nothing else of the view changed."""
    content = registry.cached_registry_proto
    for kept in (*content.feature_views, *content.stream_feature_views):
        if (kept.spec.name, kept.spec.project) == (view, project):
            del kept.meta.materialization_intervals[:]
    registry.commit()
