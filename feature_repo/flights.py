"""Feature definitions of the `flights` use case: plain Feast objects, for people and for `feast apply`.

To change a feature: change its transform and expectations in `include/use_cases/flights/`, and its description here. A
feature that no model needs any more leaves the service first, its view later. By its tag `freshness`, else by its TTL,
a view may lag behind the end of what is online.
"""

from datetime import timedelta

from feast import Entity, FeatureService, ValueType
from feast.types import Int64

from perennial import LakeTables

STRING = ValueType.STRING
carrier = Entity(name="carrier", value_type=STRING, description="Airline, two-letter IATA code.")
origin = Entity(name="origin", value_type=STRING, description="Airport of departure, IATA code.")
route = Entity(name="route", value_type=STRING, description="Origin and destination: `JFK-LAX`.")
plane = Entity(name="plane", join_keys=["tailnum"], value_type=STRING, description="Aircraft, by its tail number.")
table = LakeTables("flights", owner="flight-operations")

# The weather service may miss a day before that is worth a person's time; flights are then predicted without it.
origin_weather = table("origin_weather", origin, ttl=timedelta(hours=12), tags={"freshness": "PT36H"}).view(
    "Hourly weather at the origin, one hour after its observation.",
    weather_temp="Degrees Fahrenheit.",
    weather_humid="Relative humidity, percent.",
    weather_wind_dir="Degrees; missing in calm air.",
    weather_wind_speed="Miles per hour.",
    weather_wind_gust="Miles per hour; missing without gusts.",
    weather_precip="Inches in the hour.",
    weather_pressure="Millibar at sea level.",
    weather_visib="Miles, at most 10.",
)
carrier_lateness = table("carrier_lateness", carrier, ttl=timedelta(days=7)).view(
    "How late a carrier has been arriving, as known at each of its arrivals.",
    carrier_late_rate_1d="Share of arrivals 15 minutes late, one day.",
    carrier_mean_delay_1d="Mean delay in minutes, one day.",
    carrier_late_rate_7d="Share of arrivals 15 minutes late, one week.",
    carrier_mean_delay_7d="Mean delay in minutes, one week.",
)
origin_lateness = table("origin_lateness", origin, ttl=timedelta(days=1)).view(
    "How late flights out of an origin have been arriving, as known at each arrival.",
    origin_late_rate_3h="Share of arrivals 15 minutes late, 3 hours.",
    origin_mean_delay_3h="Mean delay in minutes, 3 hours.",
    origin_late_rate_1d="Share of arrivals 15 minutes late, one day.",
    origin_mean_delay_1d="Mean delay in minutes, one day.",
)
origin_departures = table("origin_departures", origin, ttl=timedelta(hours=12)).view(
    "How late flights have been leaving an origin, as known at each departure.",
    departures_late_rate_2h="Share leaving 15 minutes late, 2 hours.",
    departures_mean_delay_2h="Mean delay in minutes, 2 hours.",
)
route_lateness = table("route_lateness", route, ttl=timedelta(days=28)).view(
    "How late flights on a route have been arriving, as known at each arrival.",
    route_late_rate_7d="Share of arrivals 15 minutes late, one week.",
    route_mean_delay_7d="Mean delay in minutes, one week.",
    route_late_rate_28d="Share of arrivals 15 minutes late, four weeks.",
    route_mean_delay_28d="Mean delay in minutes, four weeks.",
)
# The register is delivered once a partition, and holds until the next one.
plane_facts = table("plane_facts", plane, ttl=timedelta(days=62), dtype=Int64).view(
    "Facts of the plane from the register, as it stands when a partition starts.",
    plane_year="Year of manufacture; often unknown.",
    plane_seats="Number of seats.",
    plane_engines="Number of engines.",
)
flights = FeatureService(
    name="flights",
    features=[origin_weather, carrier_lateness, origin_lateness, origin_departures, route_lateness, plane_facts],
    description="What the model of late arrivals sees, beside the facts that come with each request.",
    owner="flight-operations",
    tags={"use_case": "flights"},
)
