"""Feature definitions of the use case `temperature`."""

from datetime import timedelta

from feast import Entity, FeatureService, ValueType

from perennial import LakeTables

station = Entity(name="station", value_type=ValueType.STRING, description="Weather station, the airport's IATA code.")
hour = Entity(name="hour", value_type=ValueType.INT64, description="Hour of the day, UTC.")
table = LakeTables("temperature", owner="weather-desk")

# The package's observations end a day before the year does, so what is online may be older than a feature may be used.
station_now = table("station_now", station, ttl=timedelta(hours=12), tags={"freshness": "PT36H"}).view(
    "The newest observation of a station.",
    temp_last="Degrees Fahrenheit.",
    dewp_last="Dew point, degrees Fahrenheit.",
    humid_last="Relative humidity, percent.",
    pressure_last="Millibar at sea level.",
    temp_mean_24h="Mean of 24 hours.",
    dewp_mean_24h="Mean of 24 hours.",
    humid_mean_24h="Mean of 24 hours.",
    pressure_mean_24h="Mean of 24 hours.",
)
station_hour = table("station_hour", station, hour, ttl=timedelta(days=3)).view(
    "What a station observed at the same hour of earlier days.",
    temp_same_hour_last="Degrees Fahrenheit, the last time.",
    temp_same_hour_mean_7d="Degrees Fahrenheit, mean of a week.",
)

temperature = FeatureService(name="temperature", features=[station_now, station_hour])
