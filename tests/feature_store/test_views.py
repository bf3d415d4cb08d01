"""A view of a lake table says what a plain Feast view says."""

from __future__ import annotations

from datetime import timedelta

from feast import Entity, FeatureView, Field, PushSource, ValueType
from feast.types import Int64

from perennial.feature_store.source import LakeSource
from perennial.feature_store.views import LakeTables

shop = Entity(name="shop", value_type=ValueType.STRING)
HOUR = timedelta(hours=1)
day = Entity(name="day", value_type=ValueType.STRING)


def test_a_view_is_the_feast_view_written_out() -> None:
    table = LakeTables("sales", owner="finance")
    plain = FeatureView(
        name="sales_history",
        entities=[shop, day],
        ttl=timedelta(days=7),
        schema=[Field(name="description", dtype=Int64, description="Of what."), Field(name="ttl", dtype=Int64)],
        source=LakeSource(
            table="sales.history", timestamp_field="event_timestamp", published_every=HOUR, published_after=2 * HOUR
        ),
        description="What came of earlier sales.",
        owner="finance",
        tags={"use_case": "sales", "freshness": "PT36H"},
    )
    more: dict = {"tags": {"freshness": "PT36H"}, "published_every": HOUR, "published_after": 2 * HOUR}
    ours = table("history", shop, day, ttl=timedelta(days=7), dtype=Int64, **more).view(
        "What came of earlier sales.", description="Of what.", ttl=""
    )
    assert type(ours) is FeatureView
    for each in (ours, plain, ours.batch_source, plain.batch_source):
        each.created_timestamp = each.last_updated_timestamp = None
    assert ours.to_proto() == plain.to_proto()


def test_a_view_that_is_pushed_to_has_a_push_source_of_its_name() -> None:
    made = LakeTables("sales", owner="finance")("history", shop, ttl=HOUR, published_every=HOUR, pushed=True).view("")
    assert isinstance(made.stream_source, PushSource)
    assert made.stream_source.name == made.name == "sales_history"
    assert made.batch_source == LakeSource(table="sales.history", published_every=HOUR)
