"""Finds the use cases, and those of their models, that use what changes.

Where a feature goes is Feast's own lineage; which columns a model version was fitted on is what it recorded in MLflow.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from perennial import lake_cache
from perennial.errors import PerennialError
from perennial.feature_changes.differences import COLUMN, JOINING, VIEW_OF, Change, lost_features
from perennial.registry import ledger, mlflow_artifacts, mlflow_records

if TYPE_CHECKING:
    from perennial.feature_changes.definitions import Definitions
    from perennial.use_case import UseCase

#: Roles of versions; the first two are the registry's aliases, too.
CHAMPION, CHALLENGER, EARLIER = "champion", "challenger", "earlier champion"


@dataclass(frozen=True)
class DependentVersion:
    """A registered model version, and the features of its use case's service that it was fitted on.

    Attributes:
        role: `champion`, `challenger` or `earlier champion`: one that a rollback may return to.
        features: As recorded; where MLflow does not answer, all that the service serves now.
        recorded: Whether they are as recorded.
    """

    number: int
    role: str
    features: tuple[str, ...]
    recorded: bool = True

    def __str__(self) -> str:
        return f"{self.role} v{self.number}"


@dataclass(frozen=True)
class Dependent:
    """A use case whose feature service is, or is made of, something that changes.

    Attributes:
        objects: The changed objects that it depends on, as `Change.object`.
        touched: Version -> the features of it that are in those objects.
        trouble: Why less is known than there should be; empty: all is known.
    """

    use_case: str
    service: str
    objects: tuple[str, ...]
    versions: tuple[DependentVersion, ...]
    touched: tuple[tuple[DependentVersion, tuple[str, ...]], ...]
    trouble: str = ""


def find_dependents(
    changes: Sequence[Change], before: Definitions, after: Definitions, use_cases: Iterable[UseCase], has_lake: bool
) -> list[Dependent]:
    """The use cases that depend on something that changes.

    Args:
        changes: All changes.
        before: The registered definitions.
        after: Those in `feature_repo/`.
        use_cases: The use cases to look at.
        has_lake: Whether there is a lake to ask who is champion.
    """
    return list(_dependents(changes, before, after, use_cases, has_lake))


def _dependents(
    changes: Sequence[Change], before: Definitions, after: Definitions, use_cases: Iterable[UseCase], has_lake: bool
) -> Iterator[Dependent]:
    reached = {
        change.object: {
            name
            for side in (before, after)
            for kind, name in side.dependents_of(change.kind, change.name)
            if kind == "service"
        }
        for change in changes
    }
    for use_case in use_cases:
        service = use_case.feature_service
        objects = tuple(name for name, services in reached.items() if service in services)
        if not objects:
            continue
        served = before.services[service].names if service in before.services else []
        versions, trouble = _versions(use_case, served) if has_lake else ((), "")
        features = {name for change in changes for name in _features_of(change, before, after, service)}
        touched = tuple(
            (version, used)
            for version in versions
            if (used := tuple(name for name in version.features if name in features))
        )
        yield Dependent(use_case.name, service, objects, versions, touched, trouble)


def _features_of(change: Change, before: Definitions, after: Definitions, service: str) -> set[str]:
    """The features that a service has, as registered, and that a change touches.

    None where something is only added, for no version was fitted on that, or where only people read it.
    """
    if service not in before.services or change.action == "added" or _is_for_people(change, before, after):
        return set()
    served = before.services[service]
    if change.kind == "service":
        return _features_of_service(change, before, after) if change.name == service else set()
    views = {view for kind, view in before.dependents_of(change.kind, change.name) if kind == "view"}
    touched = {name for view, names in served.features.items() if view in views for name in names}
    if change.kind == "view" and change.field.startswith(COLUMN):
        # Of this view one column only; of the views that are made of it, any may be computed from that.
        column = change.field.removeprefix(COLUMN)
        others = {
            name for name in served.features.get(change.name, ()) if name.removeprefix(f"{change.name}__") != column
        }
        touched -= others
    return touched


def _features_of_service(change: Change, before: Definitions, after: Definitions) -> set[str]:
    served = before.services[change.name]
    if change.action == "removed":
        return lost_features(before, after, change.name)
    if change.field.startswith(JOINING):
        return set(served.features.get(change.field.removeprefix(JOINING), ()))
    return {change.field.removeprefix(VIEW_OF)}


def _is_for_people(change: Change, before: Definitions, after: Definitions) -> bool:
    """Whether only a description, an owner or tags change."""
    sides = (
        getattr(side, {"entity": "entities", "view": "views", "service": "services"}[change.kind])
        for side in (before, after)
    )
    return any(change.field in side[change.name].metadata for side in sides if change.name in side)


def _versions(use_case: UseCase, served: Sequence[str]) -> tuple[tuple[DependentVersion, ...], str]:
    """The versions that serve, served, or are about to, and why their features are not known."""
    table = use_case.tables.ledger
    deployed = ledger.deployments(ledger.from_rows(lake_cache.records([table])[table]))
    roles = {deployment.entry.model_version: EARLIER for deployment in deployed}
    if deployed:
        roles[deployed[-1].entry.model_version] = CHAMPION
    try:
        challenger = mlflow_records.quick.version_with_alias(use_case.name, CHALLENGER)
        if challenger is not None:
            roles.setdefault(challenger, CHALLENGER)
        versions = [
            DependentVersion(number, role, _fitted_on(use_case, number, served)) for number, role in roles.items()
        ]
        trouble = ""
    except PerennialError as error:
        versions = [DependentVersion(number, role, tuple(served), recorded=False) for number, role in roles.items()]
        consequence = "so every feature of the service counts as used" if roles else "so challengers are not known"
        trouble = f"{error.problem.splitlines()[0].rstrip('.')}, {consequence}."
    order = (CHAMPION, CHALLENGER, EARLIER)
    return tuple(sorted(versions, key=lambda version: (order.index(version.role), -version.number))), trouble


def _fitted_on(use_case: UseCase, number: int, served: Sequence[str]) -> tuple[str, ...]:
    """The features that a version was fitted on, without what comes with each request.

    As `provenance.json` records them, else from the signature of the model.
    """
    from perennial.registry import model_loading, run_documents, tracking

    run_id = tracking.run_of(use_case, number)
    documents = run_documents.read_json(use_case, run_id, [mlflow_artifacts.PROVENANCE])
    recorded = documents.get(mlflow_artifacts.PROVENANCE, {}).get("columns")
    columns = recorded if recorded is not None else model_loading.inputs(use_case, number)
    with_request = set(use_case.examples.request_features) - set(served)
    return tuple(name for name in columns if name not in with_request)


def mark_champion_losses(
    changes: Sequence[Change], depending: Sequence[Dependent], before: Definitions, after: Definitions
) -> list[Change]:
    """The changes; those of services that take a feature away from a champion are marked as destructive.

    Args:
        changes: All changes.
        depending: The use cases that depend on them.
        before: The registered definitions.
        after: Those in `feature_repo/`.
    """
    return [replace(change, destroys=_loss(change, depending, before, after) or change.destroys) for change in changes]


def _loss(change: Change, depending: Sequence[Dependent], before: Definitions, after: Definitions) -> str:
    if change.kind != "service" or change.action != "removed":
        return ""
    lost = lost_features(before, after, change.name)
    sentences = []
    for dependent in depending:
        for version in dependent.versions if dependent.service == change.name else ():
            used = [name for name in version.features if name in lost]
            if version.role == CHAMPION and used:
                sentences.append(f"{version} of {dependent.use_case} needs {', '.join(used)}: without, scoring stops")
    return "; ".join(sentences)


def lost_rollbacks(depending: Sequence[Dependent], before: Definitions, after: Definitions) -> list[str]:
    """Earlier champions that a rollback could not return to any more, a sentence for each use case.

    Args:
        depending: The use cases that depend on the changes.
        before: The registered definitions.
        after: Those in `feature_repo/`.
    """
    sentences = []
    for dependent in depending:
        lost = lost_features(before, after, dependent.service)
        gone = [
            f"v{version.number}"
            for version in dependent.versions
            if version.role == EARLIER and lost & set(version.features)
        ]
        if gone:
            sentences.append(f"{dependent.use_case} could not be rolled back to {', '.join(gone)} any more")
    return sentences
