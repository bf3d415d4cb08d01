"""What the flights' data must look like, table by table.

Severity says what follows when an expectation is broken:

- `critical` about rows (`ExpectColumnValues...`, `ExpectColumnPair...`): of a raw table the row is quarantined, of a
  computed table it is an error;
- `critical` about the whole batch: the partition stops;
- `warning`: it is reported.

That keys are there and unique, times inside the partition and rows enough, follows from `use_case.py` and is not
repeated here. Bounds are what can be, not what has been: a delay of a day happens, wind of 1,048 mph does not.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import great_expectations.expectations as gxe
from great_expectations.expectations.metadata_types import FailureSeverity

from perennial import Partition

Expectations = list[gxe.Expectation]

_ORIGINS = ["EWR", "JFK", "LGA"]
#: A batch must begin and end this near to the partition's own ends; a file cut short does not.
_LONGEST_GAP = timedelta(days=2)


def flights(partition: Partition) -> Expectations:
    """Raw flights."""
    return [
        *_exist(
            "flight_id sched_dep sched_arr departed_at arrived_at carrier flight tailnum origin dest route hour weekday"
            " distance air_time dep_delay arr_delay cancelled diverted"
        ),
        *_covers(partition, "sched_dep"),
        _critical(gxe.ExpectColumnDistinctValuesToContainSet, column="origin", value_set=_ORIGINS),
        _critical(gxe.ExpectColumnMeanToBeBetween, column="arr_delay", min_value=-30, max_value=60),
        _critical(gxe.ExpectColumnMeanToBeBetween, column="cancelled", min_value=0, max_value=0.3),
        _critical(gxe.ExpectColumnValuesToBeInSet, column="origin", value_set=_ORIGINS),
        _critical(gxe.ExpectColumnValuesToNotBeNull, column="carrier"),
        _critical(gxe.ExpectColumnValuesToMatchRegex, column="carrier", regex="^[A-Z0-9]{2}$"),
        _critical(gxe.ExpectColumnValuesToMatchRegex, column="dest", regex="^[A-Z]{3}$"),
        # The three origins are 10 to 20 miles apart, and nobody flies from one to another.
        *_between("distance", 50, 6_000, required=True),
        *_between("hour", 0, 23, required=True),
        *_between("weekday", 1, 7, required=True),
        *_between("air_time", 10, 1_200),
        *_between("dep_delay", -90, 2_880),
        *_between("arr_delay", -180, 2_880),
        _critical(
            gxe.ExpectColumnPairValuesAToBeGreaterThanB,
            column_A="arrived_at",
            column_B="departed_at",
            ignore_row_if="either_value_is_missing",
        ),
        _warn(gxe.ExpectColumnValuesToNotBeNull, column="tailnum", mostly=0.95),
        _warn(gxe.ExpectColumnValuesToMatchRegex, column="tailnum", regex="^N[0-9A-Z]{1,5}$", mostly=0.999),
        _warn(gxe.ExpectColumnValuesToBeBetween, column="dep_delay", min_value=-30, max_value=480, mostly=0.999),
    ]


def weather(partition: Partition) -> Expectations:
    """Raw hourly weather."""
    return [
        *_exist("origin observed_at temp dewp humid wind_dir wind_speed wind_gust precip pressure visib"),
        *_covers(partition, "observed_at"),
        _critical(gxe.ExpectColumnDistinctValuesToEqualSet, column="origin", value_set=_ORIGINS),
        *_between("temp", -40, 130),
        *_between("dewp", -60, 100),
        *_between("humid", 0, 100.5),
        *_between("wind_dir", 0, 360),
        # The strongest wind ever measured on the ground is 253 mph; a hurricane's begins at 74.
        *_between("wind_speed", 0, 150),
        *_between("wind_gust", 0, 250),
        *_between("precip", 0, 15),
        *_between("pressure", 870, 1_085),
        *_between("visib", 0, 100),
        _warn(gxe.ExpectColumnValuesToNotBeNull, column="temp", mostly=0.99),
        _warn(gxe.ExpectColumnValuesToNotBeNull, column="pressure", mostly=0.75),
    ]


def planes(partition: Partition) -> Expectations:
    """The raw register of planes."""
    return [
        *_exist("tailnum year type manufacturer model engines seats engine known_at"),
        _critical(gxe.ExpectTableRowCountToBeBetween, min_value=1_000, max_value=100_000),
        _critical(gxe.ExpectColumnValuesToMatchRegex, column="tailnum", regex="^[A-Z0-9]{3,7}$"),
        *_between("year", 1920, partition.start.year + 1),
        *_between("seats", 1, 900),
        *_between("engines", 1, 8),
        _warn(gxe.ExpectColumnValuesToNotBeNull, column="year", mostly=0.9),
    ]


def origin_weather(partition: Partition) -> Expectations:
    """Weather as a feature: every origin at (nearly) every hour."""
    hours = round((partition.end - partition.start) / timedelta(hours=1))
    return [
        _critical(gxe.ExpectTableRowCountToBeBetween, min_value=2 * hours, max_value=3 * hours),
        _critical(gxe.ExpectColumnValuesToBeInSet, column="origin", value_set=_ORIGINS),
        *_between("weather_wind_speed", 0, 150),
        *_between("weather_visib", 0, 100),
    ]


def carrier_lateness(partition: Partition) -> Expectations:
    """Lateness by carrier."""
    return _lateness(
        ("carrier_late_rate_1d", "carrier_late_rate_7d"), ("carrier_mean_delay_1d", "carrier_mean_delay_7d")
    )


def origin_lateness(partition: Partition) -> Expectations:
    """Lateness of arrivals by origin."""
    return _lateness(("origin_late_rate_3h", "origin_late_rate_1d"), ("origin_mean_delay_3h", "origin_mean_delay_1d"))


def origin_departures(partition: Partition) -> Expectations:
    """Lateness of departures by origin."""
    return _lateness(("departures_late_rate_2h",), ("departures_mean_delay_2h",))


def route_lateness(partition: Partition) -> Expectations:
    """Lateness by route."""
    return _lateness(("route_late_rate_7d", "route_late_rate_28d"), ("route_mean_delay_7d", "route_mean_delay_28d"))


def plane_facts(partition: Partition) -> Expectations:
    """Facts of planes, known from the partition's start on."""
    return [
        _critical(gxe.ExpectTableRowCountToBeBetween, min_value=1_000, max_value=100_000),
        *_between("plane_year", 1920, partition.start.year + 1),
        *_between("plane_seats", 1, 900),
        *_between("plane_engines", 1, 8),
    ]


def examples(partition: Partition) -> Expectations:
    """Flights to predict, with their labels where there are any."""
    return [
        _critical(gxe.ExpectColumnValuesToBeInSet, column="label", value_set=[0, 1]),
        _critical(gxe.ExpectColumnValuesToNotBeNull, column="event_timestamp"),
        _critical(gxe.ExpectColumnValuesToNotBeNull, column="carrier"),
        *_between("hour", 0, 23, required=True),
        *_between("weekday", 1, 7, required=True),
        _warn(gxe.ExpectColumnValuesToNotBeNull, column="label", mostly=0.9),
    ]


def training_set() -> Expectations:
    """Rows that a model learns from."""
    return [
        _critical(gxe.ExpectColumnValuesToNotBeNull, column="label"),
        _critical(gxe.ExpectColumnMeanToBeBetween, column="label", min_value=0.05, max_value=0.6),
        _critical(gxe.ExpectColumnValuesToBeUnique, column="flight_id"),
        _critical(gxe.ExpectColumnPairValuesAToBeGreaterThanB, column_A="label_timestamp", column_B="event_timestamp"),
        # Missing features are the sign of a broken join, or of a view that was not computed for some partition.
        _critical(gxe.ExpectColumnMeanToBeBetween, column="origin_late_rate_1d", min_value=0.02, max_value=0.8),
        *(
            _warn(gxe.ExpectColumnValuesToNotBeNull, column=column, mostly=0.95)
            for column in ("weather_temp", "carrier_late_rate_7d", "origin_late_rate_1d", "route_late_rate_28d")
        ),
    ]


def _lateness(rates: tuple[str, ...], delays: tuple[str, ...]) -> Expectations:
    return [
        *(expectation for rate in rates for expectation in _between(rate, 0, 1, required=True)),
        *(expectation for delay in delays for expectation in _between(delay, -180, 180, required=True)),
    ]


def _exist(columns: str) -> Expectations:
    return [_critical(gxe.ExpectColumnToExist, column=column) for column in columns.split()]


def _covers(partition: Partition, time: str) -> Expectations:
    """The batch reaches from one end of the partition to the other."""
    return [
        _critical(gxe.ExpectColumnMinToBeBetween, column=time, max_value=partition.start + _LONGEST_GAP),
        _critical(gxe.ExpectColumnMaxToBeBetween, column=time, min_value=partition.end - _LONGEST_GAP),
    ]


def _between(column: str, low: float, high: float, *, required: bool = False) -> Expectations:
    """Values inside the bounds, ends included; null only if not required."""
    inside = _critical(gxe.ExpectColumnValuesToBeBetween, column=column, min_value=low, max_value=high)
    return [inside, _critical(gxe.ExpectColumnValuesToNotBeNull, column=column)] if required else [inside]


def _critical(kind: type[gxe.Expectation], **what: Any) -> gxe.Expectation:
    return kind(**what, severity=FailureSeverity.CRITICAL)


def _warn(kind: type[gxe.Expectation], **what: Any) -> gxe.Expectation:
    return kind(**what, severity=FailureSeverity.WARNING)
