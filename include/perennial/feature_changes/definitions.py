"""Feature definitions in one plain form, whether from the Feast registry or from `feature_repo/`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from perennial.feature_store.definitions.files import DefinitionFile

Interval = tuple[datetime, datetime]


@dataclass(frozen=True)
class Entity:
    """An entity: what its rows are joined by."""

    join_key: str
    value_type: str
    metadata: Mapping[str, str] = field(default_factory=dict)  #: description, owner, tags: for people


@dataclass(frozen=True)
class View:
    """A feature view of any kind.

    Attributes:
        columns: Feature -> its Feast type.
        ttl: How old a value may be; None: any age.
        source: The lake table behind it, or what else its source is called; empty: none of its own.
        mapping: The source's names of columns -> the view's, where they differ.
        created: The source's column that says when a row was written; empty: there is none.
        publication: When its rows are published, as `plan` names it; empty: at once, or it has no lake table.
        code: What it computes by itself: an on-demand view's function.
        intervals: What of it is online, half-open, UTC; always empty for what is not registered yet.
    """

    kind: str
    entities: tuple[str, ...]
    columns: Mapping[str, str]
    ttl: timedelta | None
    source: str
    timestamp: str
    online: bool
    code: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    intervals: tuple[Interval, ...] = ()
    mapping: Mapping[str, str] = field(default_factory=dict)
    created: str = ""
    publication: str = ""

    def column(self, name: str) -> str:
        """The source's name of what the view calls `name`."""
        return next((column for column, mapped in self.mapping.items() if mapped == name), name)

    @property
    def mapped(self) -> str:
        """The mapping as people, and acknowledgements, name it."""
        return ", ".join(f"{column} as {name}" for column, name in sorted(self.mapping.items()))


@dataclass(frozen=True)
class Service:
    """A feature service.

    Attributes:
        features: View -> the features of it that it serves, in the service's order.
        joins: View -> by which other names it is asked for, and joined; those asked for by their own are absent.
    """

    features: Mapping[str, tuple[str, ...]]
    metadata: Mapping[str, str] = field(default_factory=dict)
    joins: Mapping[str, str] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """All features, as retrievals name them."""
        return list(dict.fromkeys(name for names in self.features.values() for name in names))


@dataclass(frozen=True)
class Definitions:
    """A set of definitions, by name.

    Attributes:
        exists: Whether there is such a registry at all.
        edges: (kind, name) -> the (kind, name)s that are made of it, by Feast's own lineage; kind is `entity`, `view`
            or `service`.
        digest: Of the files that it was made from; empty: not known.
        files: Those files; none: not known.
    """

    entities: Mapping[str, Entity]
    views: Mapping[str, View]
    services: Mapping[str, Service]
    exists: bool = True
    edges: Mapping[tuple[str, str], frozenset[tuple[str, str]]] = field(default_factory=dict)
    digest: str = ""
    files: Mapping[str, DefinitionFile] = field(default_factory=dict)

    def dependents_of(self, kind: str, name: str) -> set[tuple[str, str]]:
        """All that depends on an object, directly or not, and the object itself, each as (kind, name).

        Args:
            kind: `entity`, `view` or `service`.
            name: The object's name.
        """
        reached: set[tuple[str, str]] = set()
        queue = [(kind, name)]
        while queue:
            current = queue.pop()
            if current not in reached:
                reached.add(current)
                queue.extend(self.edges.get(current, ()))
        return reached

    def made_of(self, kind: str, name: str) -> set[tuple[str, str]]:
        """All that an object is made of, directly or not, and the object itself if it exists, each as (kind, name).

        Args:
            kind: `entity`, `view` or `service`.
            name: The object's name.
        """
        objects = [("entity", each) for each in self.entities] + [("view", each) for each in self.views]
        objects += [("service", each) for each in self.services]
        return {each for each in objects if (kind, name) in self.dependents_of(*each)}


NOTHING = Definitions({}, {}, {}, exists=False)
