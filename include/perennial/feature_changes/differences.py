"""Compares two sets of feature definitions: what has changed, and which changes destroy something."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Literal

from perennial.feature_changes.definitions import Definitions, Entity, Service, View

Action = Literal["added", "changed", "removed"]
ANY_AGE, NONE, AT_ONCE = "any age", "none", "at once"
FIELD_MAPPING, COLUMN, JOINING, VIEW_OF = "field mapping", "column ", "joining of ", "view of "
PUBLICATION = "publication"


@dataclass(frozen=True)
class Change:
    """One change of one object.

    Attributes:
        kind: `entity`, `view` or `service`.
        field: What of it: `column <name>`, `ttl`, `source` ...; empty: the whole object.
        before, after: Its value on either side; empty where there is none.
        destroys: What it destroys; empty: nothing.
    """

    kind: str
    name: str
    action: Action
    field: str = ""
    before: str = ""
    after: str = ""
    destroys: str = ""

    @property
    def object(self) -> str:
        """How people, and acknowledgements, name the object."""
        return f"{self.kind} {self.name}"

    @property
    def description(self) -> str:
        """How people, and acknowledgements, name the change."""
        if self.action == "changed":
            return f"{self.field} {self.before or NONE} -> {self.after or NONE}"
        value = self.after if self.field and self.action == "added" else ""
        return f"{self.field} {self.action}".strip() + (f" ({value})" if value else "")


def compare(before: Definitions, after: Definitions) -> list[Change]:
    """All changes from one side to the other, object by object.

    What only people read (descriptions, owners, tags) is a change too, and never a destructive one. That a service
    loses a feature is destructive only for who uses it: see `perennial.feature_changes.dependents`.

    Args:
        before: The registered definitions.
        after: Those in `feature_repo/`.
    """
    return [
        *_objects("entity", before.entities, after.entities, _entity, "what its rows are joined by"),
        *_objects("view", before.views, after.views, _view, "its features, also those that are online"),
        *_objects("service", before.services, after.services, _service, "what models and applications ask for"),
    ]


def _objects(
    kind: str, before: Mapping[str, Any], after: Mapping[str, Any], inside: Any, lost: str
) -> Iterator[Change]:
    for name in sorted({*before, *after}):
        if name not in after:
            yield Change(kind, name, "removed", destroys=lost)
        elif name not in before:
            yield Change(kind, name, "added", after=_summary(after[name]))
        else:
            for change in inside(before[name], after[name]):
                yield replace(change, kind=kind, name=name)
            yield from _metadata(kind, name, before[name].metadata, after[name].metadata)


def _summary(thing: Any) -> str:
    columns = getattr(thing, "columns", None)
    return ", ".join(f"{name} {kind}" for name, kind in columns.items()) if columns else ""


def _entity(before: Entity, after: Entity) -> Iterator[Change]:
    joined = "rows, online and in training sets, are found by another key"
    yield from _value("join key", before.join_key, after.join_key, joined)
    yield from _value("value type", before.value_type, after.value_type, "keys of the old type are not found any more")


def _view(before: View, after: View) -> Iterator[Change]:
    yield from _value("kind", before.kind, after.kind, "Feast makes another view under the old name")
    keys = "rows are found by other keys; those online stay under the old ones"
    yield from _value("entities", _list(before.entities), _list(after.entities), keys)
    for name in dict.fromkeys([*before.columns, *after.columns]):
        old, new = before.columns.get(name, ""), after.columns.get(name, "")
        if not old:
            yield Change("", "", "added", f"{COLUMN}{name}", after=new)
        elif not new:
            yield Change(
                "", "", "removed", f"{COLUMN}{name}", before=old, destroys="its values are not served any more"
            )
        else:
            yield from _value(f"{COLUMN}{name}", old, new, "values online and models know it by the old type")
    shorter = (after.ttl or timedelta.max) < (before.ttl or timedelta.max)
    destroys = "values that were served count as missing from now on" if shorter else ""
    yield from _value("ttl", age(before.ttl), age(after.ttl), destroys)
    yield from _value("source", before.source, after.source)
    yield from _value("timestamp field", before.timestamp, after.timestamp)
    yield from _value("created timestamp column", before.created, after.created)
    # Nothing online changes by it, and nothing is lost: what training sees from now on does.
    yield from _value(PUBLICATION, before.publication or AT_ONCE, after.publication or AT_ONCE)
    yield from _value(FIELD_MAPPING, before.mapped, after.mapped, _moved(before, after))
    gone = "it is not served online any more" if before.online else ""
    yield from _value("online", str(before.online).lower(), str(after.online).lower(), gone)
    if before.code != after.code:
        yield Change("", "", "changed", "code", "another", "this one")


def _moved(before: View, after: View) -> str:
    """What it destroys that names stay and mean another column of the source."""
    names = [
        name
        for name in sorted({*before.mapping.values(), *after.mapping.values()})
        # A feature that comes or goes is a change of its own; keys and times are no features of either side.
        if before.column(name) != after.column(name) and (name in before.columns) == (name in after.columns)
    ]
    return f"under its old name, {_list(names)} means another column from now on" if names else ""


def _service(before: Service, after: Service) -> Iterator[Change]:
    """A change for each feature that it gains, one for all that it loses, one for each view it joins otherwise."""
    lost = [name for name in before.names if name not in after.names]
    if lost:
        yield Change("", "", "removed", f"feature{'s' if len(lost) > 1 else ''} {', '.join(sorted(lost))}")
    for name in after.names:
        if name not in before.names:
            yield Change("", "", "added", f"feature {name}", after=f"of view {_home(after, name)}")
    moved = [name for name in after.names if name in before.names and _home(before, name) != _home(after, name)]
    for name in moved:
        yield Change("", "", "changed", f"{VIEW_OF}{name}", _home(before, name), _home(after, name))
    for view in before.features:
        if view in after.features:
            was, will_be = before.joins.get(view, ""), after.joins.get(view, "")
            yield from _value(f"{JOINING}{view}", was, will_be, "its features are asked for by other names or keys")


def _home(service: Service, feature: str) -> str:
    return next(view for view, names in service.features.items() if feature in names)


def _metadata(kind: str, name: str, before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[Change]:
    for field in after:
        yield from (
            replace(change, kind=kind, name=name) for change in _value(field, before.get(field, ""), after[field])
        )


def _value(field: str, before: str, after: str, destroys: str = "") -> Iterator[Change]:
    if before != after:
        yield Change("", "", "changed", field, before, after, destroys)


def _list(names: Sequence[str]) -> str:
    return ", ".join(names)


def age(ttl: timedelta | None) -> str:
    """A view's `ttl` in the largest unit that it is a whole number of."""
    if ttl is None:
        return ANY_AGE
    seconds = ttl.total_seconds()
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds % length == 0:
            count = int(seconds // length)
            return f"{count} {unit}{'s' if count != 1 else ''}"
    return f"{seconds:g} seconds"


def lost_features(before: Definitions, after: Definitions, service: str) -> set[str]:
    """The features that a service serves now and will not serve any more.

    Args:
        before: The registered definitions.
        after: Those in `feature_repo/`.
        service: The service's name.
    """
    if service not in before.services:
        return set()
    left = after.services[service].names if service in after.services else []
    return set(before.services[service].names) - set(left)
