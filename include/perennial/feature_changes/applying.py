"""Registering the definitions in `feature_repo/`: what a plan says, or nothing."""

from __future__ import annotations

from collections.abc import Sequence
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
    transforms,
)
from perennial.feature_store import repository
from perennial.settings import settings

if TYPE_CHECKING:
    from feast import FeatureStore
    from feast.repo_contents import RepoContents

    from perennial.feature_changes.differences import Change
    from perennial.feature_changes.planning import Plan
    from perennial.feature_changes.sides import Definitions


class Refused(PerennialError):
    """A change would destroy something that it does not say it destroys."""


class ChangedMeanwhile(PerennialError):
    """The registry, or `feature_repo/`, is not what the plan was made of any more; nothing was applied."""


def apply(made: Plan) -> bool:
    """Register the definitions; whether they were not the registered ones.

    Under the lock that the pipelines hold when they apply, and by the same function. The change is worked out once more
    there: if it is not what `made` says, nothing happens. Two at once apply once. Killed anywhere, the next call, or
    the next pipeline, applies again.

    Raises:
        Refused: it destroys something unacknowledged.
        ChangedMeanwhile: somebody has changed either side since the plan was made.
        BadFeatures: a definition is wrong, or an acknowledgement fits nothing.
    """
    made.insist_on_acknowledgements_that_fit()
    if made.is_refused:
        raise Refused(
            "Refused: the change destroys what it does not acknowledge.",
            f"Add to feature_repo/{acknowledgements.FILE}, with a reason:\n{rendering.entries(made.matched.missing)}",
        )
    _widen(made)

    def check(store: FeatureStore, contents: RepoContents) -> None:
        before, after = reading.registered(), reading.of(contents)
        now = differences.compare(before, after)
        if _facts(now) != _facts(made.changes):
            raise ChangedMeanwhile(
                "The registry, or feature_repo/, was changed since the plan was made; nothing was applied.",
                "Run the same command again: it makes a new plan.",
            )
        _insist(now, before, after)
        _forget(store, recomputing.online_again(before, after))

    return repository.apply_if_changed(check)


def apply_safely() -> bool:
    """Register the definitions if they changed and destroy nothing unacknowledged; whether they were not the registered
    ones. For pipelines, which show nobody a plan; costs no more than `repository.apply_if_changed` if nothing changed.

    Raises:
        Refused, BadFeatures: see `apply`; the registry is as it was.
    """

    def check(store: FeatureStore, contents: RepoContents) -> None:
        before, after = reading.registered(), reading.of(contents)
        _insist(differences.compare(before, after), before, after)
        _forget(store, recomputing.online_again(before, after))

    return repository.apply_if_changed(check)


def _insist(changes: Sequence[Change], before: Definitions, after: Definitions) -> None:
    """Fail if a change destroys what is not acknowledged, by who is champion now."""
    if any(change.kind == "service" and change.action == "removed" for change in changes):
        # Only then does it matter who needs what; it takes asking MLflow.
        use_cases = [discovery.load(name) for name in discovery.names()]
        found = dependents.dependents(changes, before, after, use_cases, has_lake=True)
        changes = dependents.with_losses(changes, found, before, after)
    given = acknowledgements.read(settings().feature_repo)
    if missing := acknowledgements.match(changes, given, before, after).missing:
        raise Refused(
            "The definitions in feature_repo/ destroy what they do not acknowledge: "
            + "; ".join(f"{change.object}: {change.what}" for change in missing),
            "If this checkout is older than the registry, update it. Otherwise see `perennial plan`.",
        )


def _facts(changes: Sequence[Change]) -> set[tuple[str, str, str]]:
    return {(change.object, change.what, change.after) for change in changes}


def _widen(made: Plan) -> None:
    """Give the feature tables in the lake the columns that their transforms return now: a view that names them can then
    be registered before the first partition is computed again. Additive, and nothing the second time."""
    from perennial import lake

    for table in made.widened:
        use_case, _, name = table.partition(".")
        schema = transforms.coming_schema(discovery.load(use_case), name)
        if schema is not None:
            lake.add_columns(table, schema)


def _forget(store: FeatureStore, views: dict[str, str]) -> None:
    """Take back what the registry says is online of views that must come online again: what is, is of the old
    definition. Before anything else, so that a process killed in between leaves a record of what is to be done."""
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
