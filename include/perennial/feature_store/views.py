"""Feature views of lake tables, declared without what all views of a use case repeat."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from feast import Entity, FeatureView, Field, PushSource
from feast.types import FeastType, Float64

from perennial.feature_store.source import LakeSource


@dataclass(frozen=True)
class LakeTable:
    """A feature table of the lake, and how Feast serves it.

    Attributes:
        use_case: Its name.
        owner: Who is responsible for it.
        name: Of the table, without the use case.
        entities: What a row is about; their join keys are columns of the table.
        ttl: How old a value may be at the moment of prediction; older ones count as missing.
        dtype: The type of all its features.
        tags: Of its view, beside the use case's name.
        published_every: The cadence at which its rows reach the online store: see `LakeSource`.
        published_after: How long that takes.
        pushed: Whether Feast's `push` may name the view, which then has a `PushSource` of the same name.
    """

    use_case: str
    owner: str
    name: str
    entities: tuple[Entity, ...]
    ttl: timedelta
    dtype: FeastType = Float64
    tags: Mapping[str, str] = field(default_factory=dict)
    published_every: timedelta | None = None
    published_after: timedelta = timedelta(0)
    pushed: bool = False

    def view(self, description: str, /, **features: str) -> FeatureView:
        """A plain Feast view of some columns: `<use_case>_<table>`, so that no two use cases' views collide.

        Args:
            description: Of the view.
            **features: Column -> its description.
        """
        name = f"{self.use_case}_{self.name}"
        source = LakeSource(
            table=f"{self.use_case}.{self.name}",
            timestamp_field="event_timestamp",
            published_every=self.published_every,
            published_after=self.published_after,
        )
        return FeatureView(
            name=name,
            entities=list(self.entities),
            ttl=self.ttl,
            schema=[Field(name=name, dtype=self.dtype, description=each) for name, each in features.items()],
            source=PushSource(name=name, batch_source=source) if self.pushed else source,
            description=description,
            owner=self.owner,
            tags={"use_case": self.use_case, **self.tags},
        )


@dataclass(frozen=True)
class LakeTables:
    """The feature tables of a use case: `table = LakeTables("flights", owner="flight-operations")`."""

    use_case: str
    owner: str

    def __call__(
        self,
        name: str,
        *entities: Entity,
        ttl: timedelta,
        dtype: FeastType = Float64,
        tags: Mapping[str, str] | None = None,
        published_every: timedelta | None = None,
        published_after: timedelta = timedelta(0),
        pushed: bool = False,
    ) -> LakeTable:
        """One of them.

        Args:
            name: Of the table, without the use case.
            *entities: What a row is about; their join keys are columns of the table.
            ttl: How old a value may be at the moment of prediction; older ones count as missing.
            dtype: The type of all its features.
            tags: Of its view, beside the use case's name.
            published_every: The cadence at which its rows reach the online store: see `LakeSource`.
            published_after: How long that takes.
            pushed: Whether Feast's `push` may name the view, which then has a `PushSource` of the same name.
        """
        options = tags or {}, published_every, published_after, pushed
        return LakeTable(self.use_case, self.owner, name, entities, ttl, dtype, *options)
