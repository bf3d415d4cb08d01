"""Feature definitions of the `flights` use case: a plain Feast repository file, for people and for `feast apply`.

To change a feature: change its transform in `include/use_cases/flights/transforms.py`, its schema here, and what it
must look like in `include/use_cases/flights/expectations.py`. A feature that no model needs any more leaves the service
first, its view later.

A view's TTL is how old a value may be when a flight is predicted; older ones count as missing. How far its newest
values may lag behind the end of what is online is the view's promise: its tag `freshness`, else its TTL. Names carry
their view's prefix, so that no two views collide.
"""

from datetime import timedelta

from feast import Entity, FeatureService, FeatureView, Field, ValueType
from feast.types import Float64, Int64

from perennial.feature_store.source import LakeSource

OWNER = "flight-operations"
TAGS = {"use_case": "flights"}

carrier = Entity(
    name="carrier", join_keys=["carrier"], value_type=ValueType.STRING, description="Airline, two-letter IATA code."
)
origin = Entity(
    name="origin", join_keys=["origin"], value_type=ValueType.STRING, description="Airport of departure, IATA code."
)
route = Entity(
    name="route", join_keys=["route"], value_type=ValueType.STRING, description="Origin and destination: `JFK-LAX`."
)
plane = Entity(
    name="plane", join_keys=["tailnum"], value_type=ValueType.STRING, description="Aircraft, by its tail number."
)

origin_weather = FeatureView(
    name="flights_origin_weather",
    entities=[origin],
    ttl=timedelta(hours=12),
    schema=[
        Field(name="weather_temp", dtype=Float64, description="Degrees Fahrenheit."),
        Field(name="weather_humid", dtype=Float64, description="Relative humidity, percent."),
        Field(name="weather_wind_dir", dtype=Float64, description="Degrees; missing in calm air."),
        Field(name="weather_wind_speed", dtype=Float64, description="Miles per hour."),
        Field(name="weather_wind_gust", dtype=Float64, description="Miles per hour; missing without gusts."),
        Field(name="weather_precip", dtype=Float64, description="Inches in the hour."),
        Field(name="weather_pressure", dtype=Float64, description="Millibar at sea level."),
        Field(name="weather_visib", dtype=Float64, description="Miles, at most 10."),
    ],
    source=LakeSource(table="flights.origin_weather", timestamp_field="event_timestamp"),
    description="Hourly weather at the origin, one hour after its observation.",
    owner=OWNER,
    # The weather service may miss a day before that is worth a person's time; flights are then predicted without it.
    tags=TAGS | {"freshness": "PT36H"},
)

carrier_lateness = FeatureView(
    name="flights_carrier_lateness",
    entities=[carrier],
    ttl=timedelta(days=7),
    schema=[
        Field(name="carrier_late_rate_1d", dtype=Float64, description="Share of arrivals 15 minutes late, one day."),
        Field(name="carrier_mean_delay_1d", dtype=Float64, description="Mean delay in minutes, one day."),
        Field(name="carrier_late_rate_7d", dtype=Float64, description="Share of arrivals 15 minutes late, one week."),
        Field(name="carrier_mean_delay_7d", dtype=Float64, description="Mean delay in minutes, one week."),
    ],
    source=LakeSource(table="flights.carrier_lateness", timestamp_field="event_timestamp"),
    description="How late a carrier has been arriving, as known at each of its arrivals.",
    owner=OWNER,
    tags=TAGS,
)

origin_lateness = FeatureView(
    name="flights_origin_lateness",
    entities=[origin],
    ttl=timedelta(days=1),
    schema=[
        Field(name="origin_late_rate_3h", dtype=Float64, description="Share of arrivals 15 minutes late, 3 hours."),
        Field(name="origin_mean_delay_3h", dtype=Float64, description="Mean delay in minutes, 3 hours."),
        Field(name="origin_late_rate_1d", dtype=Float64, description="Share of arrivals 15 minutes late, one day."),
        Field(name="origin_mean_delay_1d", dtype=Float64, description="Mean delay in minutes, one day."),
    ],
    source=LakeSource(table="flights.origin_lateness", timestamp_field="event_timestamp"),
    description="How late flights out of an origin have been arriving, as known at each arrival.",
    owner=OWNER,
    tags=TAGS,
)

origin_departures = FeatureView(
    name="flights_origin_departures",
    entities=[origin],
    ttl=timedelta(hours=12),
    schema=[
        Field(name="departures_late_rate_2h", dtype=Float64, description="Share leaving 15 minutes late, 2 hours."),
        Field(name="departures_mean_delay_2h", dtype=Float64, description="Mean delay in minutes, 2 hours."),
    ],
    source=LakeSource(table="flights.origin_departures", timestamp_field="event_timestamp"),
    description="How late flights have been leaving an origin, as known at each departure.",
    owner=OWNER,
    tags=TAGS,
)

route_lateness = FeatureView(
    name="flights_route_lateness",
    entities=[route],
    ttl=timedelta(days=28),
    schema=[
        Field(name="route_late_rate_7d", dtype=Float64, description="Share of arrivals 15 minutes late, one week."),
        Field(name="route_mean_delay_7d", dtype=Float64, description="Mean delay in minutes, one week."),
        Field(name="route_late_rate_28d", dtype=Float64, description="Share of arrivals 15 minutes late, four weeks."),
        Field(name="route_mean_delay_28d", dtype=Float64, description="Mean delay in minutes, four weeks."),
    ],
    source=LakeSource(table="flights.route_lateness", timestamp_field="event_timestamp"),
    description="How late flights on a route have been arriving, as known at each arrival.",
    owner=OWNER,
    tags=TAGS,
)

plane_facts = FeatureView(
    name="flights_plane_facts",
    entities=[plane],
    # The register is delivered once a partition, and holds until the next one.
    ttl=timedelta(days=62),
    schema=[
        Field(name="plane_year", dtype=Int64, description="Year of manufacture; often unknown."),
        Field(name="plane_seats", dtype=Int64, description="Number of seats."),
        Field(name="plane_engines", dtype=Int64, description="Number of engines."),
    ],
    source=LakeSource(table="flights.plane_facts", timestamp_field="event_timestamp"),
    description="Facts of the plane from the register, as it stands when a partition starts.",
    owner=OWNER,
    tags=TAGS,
)

flights = FeatureService(
    name="flights",
    features=[
        origin_weather,
        carrier_lateness,
        origin_lateness,
        origin_departures,
        route_lateness,
        plane_facts,
    ],
    description="What the model of late arrivals sees, beside the facts that come with each request.",
    owner=OWNER,
    tags=TAGS,
)
