"""Feature definitions of the second use case."""

from datetime import timedelta

from feast import Entity, FeatureService, FeatureView, Field, PushSource, ValueType
from feast.types import Float64

from perennial import LakeSource

site = Entity(name="site", join_keys=["site"], value_type=ValueType.STRING)
meter = Entity(name="meter", join_keys=["meter"], value_type=ValueType.STRING)

meter_history = FeatureView(
    name="energy_meter_history",
    entities=[site, meter],
    ttl=timedelta(days=2),
    schema=[Field(name="meter_last", dtype=Float64), Field(name="meter_mean_24h", dtype=Float64)],
    source=PushSource(
        name="energy_meter_history",
        batch_source=LakeSource(table="energy.meter_history", timestamp_field="event_timestamp"),
    ),
)

energy = FeatureService(name="energy", features=[meter_history])
