"""What the flights' data must look like, table by table.

That keys are there and unique, times inside the partition and rows enough, follows from `use_case.py`. Bounds are what
can be, not what has been: a delay of a day happens, wind of 1,048 mph does not.
"""

from datetime import timedelta

from perennial import expectations as expect
from use_cases.flights.source import FLIGHTS, PLANES, WEATHER

ORIGINS = ["EWR", "JFK", "LGA"]
GAP = timedelta(days=2)  # A batch must begin and end this near to the partition's own ends.

flights = [
    expect.exists(*FLIGHTS),
    expect.covers("sched_dep", GAP),
    expect.every_one_of({"origin": ORIGINS}),
    expect.one_of({"origin": ORIGINS}),
    expect.required("carrier", "distance", "hour", "weekday"),
    expect.matches({"carrier": "^[A-Z0-9]{2}$", "dest": "^[A-Z]{3}$"}),
    # The three origins are 10 to 20 miles apart, and nobody flies from one to another.
    expect.between({"distance": (50, 6_000), "hour": (0, 23), "weekday": (1, 7), "air_time": (10, 1_200)}),
    expect.between({"dep_delay": (-90, 2_880), "arr_delay": (-180, 2_880)}),
    expect.mean_between({"arr_delay": (-30, 60), "cancelled": (0, 0.3)}),
    expect.later("arrived_at", than="departed_at"),
    expect.between({"dep_delay": (-30, 480)}, mostly=0.999, severity="warning"),
    expect.matches({"tailnum": "^N[0-9A-Z]{1,5}$"}, mostly=0.999, severity="warning"),
    expect.required("tailnum", mostly=0.95, severity="warning"),
]
weather = [
    expect.exists(*WEATHER),
    expect.covers("observed_at", GAP),
    expect.exactly({"origin": ORIGINS}),
    expect.between({"temp": (-40, 130), "dewp": (-60, 100), "humid": (0, 100.5), "precip": (0, 15)}),
    # The strongest wind ever measured on the ground is 253 mph; a hurricane's begins at 74.
    expect.between({"wind_speed": (0, 150), "wind_gust": (0, 250), "wind_dir": (0, 360)}),
    expect.between({"pressure": (870, 1_085), "visib": (0, 100)}),
    expect.required("temp", mostly=0.99, severity="warning"),
    expect.required("pressure", mostly=0.75, severity="warning"),
]
planes = [
    expect.exists(*PLANES, "known_at"),
    expect.rows_between(1_000, 100_000),
    expect.matches({"tailnum": "^[A-Z0-9]{3,7}$"}),
    expect.between({"seats": (1, 900), "engines": (1, 8)}),
    lambda partition: expect.between({"year": (1920, partition.start.year + 1)}),
    expect.required("year", mostly=0.9, severity="warning"),
]
origin_weather = [
    expect.rows_each(timedelta(hours=1), 2, 3),  # Every origin at (nearly) every hour.
    expect.one_of({"origin": ORIGINS}),
    expect.between({"weather_wind_speed": (0, 150), "weather_visib": (0, 100)}),
]


def _lateness(prefix: str, *spans: str) -> expect.Suite:
    rates, delays = [f"{prefix}_late_rate_{span}" for span in spans], [f"{prefix}_mean_delay_{span}" for span in spans]
    bounds = dict.fromkeys(rates, (0, 1)) | dict.fromkeys(delays, (-180, 180))
    return [expect.required(*bounds), expect.between(bounds)]


carrier_lateness = _lateness("carrier", "1d", "7d")
origin_lateness = _lateness("origin", "3h", "1d")
origin_departures = _lateness("departures", "2h")
route_lateness = _lateness("route", "7d", "28d")
plane_facts = [
    expect.rows_between(1_000, 100_000),
    expect.between({"plane_seats": (1, 900), "plane_engines": (1, 8)}),
    lambda partition: expect.between({"plane_year": (1920, partition.start.year + 1)}),
]
examples = [
    expect.required("event_timestamp", "carrier", "hour", "weekday"),
    expect.one_of({"label": [0, 1]}),
    expect.between({"hour": (0, 23), "weekday": (1, 7)}),
    expect.required("label", mostly=0.9, severity="warning"),
]
training_set = [
    expect.unique("flight_id"),
    expect.required("label", "label_timestamp"),
    expect.later("label_timestamp", than="event_timestamp"),
    # Missing features are the sign of a broken join, or of a view that was not computed for some partition.
    expect.mean_between({"label": (0.05, 0.6), "origin_late_rate_1d": (0.02, 0.8)}),
    expect.required("weather_temp", "carrier_late_rate_7d", "origin_late_rate_1d", mostly=0.95, severity="warning"),
    expect.required("route_late_rate_28d", mostly=0.95, severity="warning"),
]
