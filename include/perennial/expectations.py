"""Expectations by declaration: what a table must look like, a line each, as Great Expectations objects.

What a broken expectation leads to, and what follows from `use_case.py` without being declared (keys are there and
unique, times are inside the partition, rows are enough), is told in `docs/add_a_use_case.md`. Every function takes

- `severity`: `critical`, `warning` or `info`; only what is critical quarantines rows or stops a batch;
- `mostly`, where it is about rows: the share of rows for which it must hold.

A suite may also hold any expectation of `great_expectations.expectations`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Literal, TypeAlias

import great_expectations.expectations as gxe

from perennial.partitions import Partition

Severity = Literal["critical", "warning", "info"]
Expectations: TypeAlias = list[gxe.Expectation]
#: What depends on the partition is a function of it.
OfPartition: TypeAlias = Callable[[Partition], "Suite"]
#: All that is expected of a table. Inner lists do not matter.
Suite: TypeAlias = Sequence["gxe.Expectation | OfPartition | Suite"]
#: The smallest and the largest value, both allowed; None: there is no such bound.
Bounds: TypeAlias = tuple[Any, Any]


def exists(*columns: str, severity: Severity = "critical") -> Expectations:
    """The table has these columns.

    Args:
        *columns: Their names.
        severity: What follows if it does not hold.
    """
    return [gxe.ExpectColumnToExist(column=each, severity=severity) for each in columns]


def required(*columns: str, mostly: float = 1.0, severity: Severity = "critical") -> Expectations:
    """Each row has a value in these columns.

    Args:
        *columns: Where nothing may be missing.
        mostly: The share of rows for which it must hold.
        severity: What follows if it does not hold.
    """
    return [gxe.ExpectColumnValuesToNotBeNull(column=each, mostly=mostly, severity=severity) for each in columns]


def unique(*columns: str, mostly: float = 1.0, severity: Severity = "critical") -> Expectations:
    """No two rows have the same values in these columns taken together.

    Args:
        *columns: One, or several whose values are looked at together.
        mostly: The share of rows for which it must hold.
        severity: What follows if it does not hold.
    """
    if len(columns) == 1:
        return [gxe.ExpectColumnValuesToBeUnique(column=columns[0], mostly=mostly, severity=severity)]
    return [gxe.ExpectCompoundColumnsToBeUnique(column_list=list(columns), mostly=mostly, severity=severity)]


def between(columns: Mapping[str, Bounds], *, mostly: float = 1.0, severity: Severity = "critical") -> Expectations:
    """Values lie within the bounds of their column, or are missing: `between({"hour": (0, 23)})`.

    Args:
        columns: Column -> its smallest and largest value.
        mostly: The share of rows for which it must hold.
        severity: What follows if it does not hold.
    """
    return _each(gxe.ExpectColumnValuesToBeBetween, _bounds(columns), mostly=mostly, severity=severity)


def widened(columns: Mapping[str, tuple[float, float]], times: float) -> dict[str, Bounds]:
    """Bounds that are wider on either side by so many times their width (by 1 if they have none); whole stay whole.

    Args:
        columns: Column -> the smallest and the largest value seen.
        times: How many times its width a range is widened on either side.
    """
    wider: dict[str, Bounds] = {}
    for column, (low, high) in columns.items():
        slack = (high - low) * times or 1
        is_whole = isinstance(low, int) and isinstance(high, int)
        wider[column] = (low - math.ceil(slack), high + math.ceil(slack)) if is_whole else (low - slack, high + slack)
    return wider


def one_of(
    columns: Mapping[str, Iterable[Any]], *, mostly: float = 1.0, severity: Severity = "critical"
) -> Expectations:
    """Values are among those of their column, or missing: `one_of({"label": [0, 1]})`.

    Args:
        columns: Column -> the values that it may have.
        mostly: The share of rows for which it must hold.
        severity: What follows if it does not hold.
    """
    return _each(gxe.ExpectColumnValuesToBeInSet, _sets(columns), mostly=mostly, severity=severity)


def matches(columns: Mapping[str, str], *, mostly: float = 1.0, severity: Severity = "critical") -> Expectations:
    """Values match the regular expression of their column, or are missing: `matches({"dest": "^[A-Z]{3}$"})`.

    Args:
        columns: Column -> a regular expression, in Python's syntax.
        mostly: The share of rows for which it must hold.
        severity: What follows if it does not hold.
    """
    patterns = {column: {"regex": pattern} for column, pattern in columns.items()}
    return _each(gxe.ExpectColumnValuesToMatchRegex, patterns, mostly=mostly, severity=severity)


def later(column: str, than: str, *, mostly: float = 1.0, severity: Severity = "critical") -> Expectations:
    """Values of one column are later, or larger, than those of another, where both are there.

    Args:
        column: The later, or larger, one.
        than: The other one.
        mostly: The share of rows for which it must hold.
        severity: What follows if it does not hold.
    """
    pair = {"column_A": column, "column_B": than, "ignore_row_if": "either_value_is_missing"}
    return [gxe.ExpectColumnPairValuesAToBeGreaterThanB(**pair, mostly=mostly, severity=severity)]


def rows_between(low: int | None, high: int | None, *, severity: Severity = "critical") -> Expectations:
    """The table has so many rows.

    Args:
        low: The fewest rows; None: there is no such bound.
        high: The most rows; None: there is no such bound.
        severity: What follows if it does not hold.
    """
    return [gxe.ExpectTableRowCountToBeBetween(min_value=low, max_value=high, severity=severity)]


def rows_each(length: timedelta, low: float, high: float, *, severity: Severity = "critical") -> OfPartition:
    """The table has so many rows for each such length of its partition: `rows_each(timedelta(hours=1), 2, 3)`.

    Args:
        length: Of which the partition has several, such as an hour.
        low: The fewest rows for each, on average.
        high: The most rows for each, on average.
        severity: What follows if it does not hold.
    """

    def of(partition: Partition) -> Suite:
        lengths = (partition.end - partition.start) / length
        return rows_between(math.floor(low * lengths), math.ceil(high * lengths), severity=severity)

    return of


def mean_between(columns: Mapping[str, Bounds], *, severity: Severity = "critical") -> Expectations:
    """The mean of each column lies within its bounds: `mean_between({"cancelled": (0, 0.3)})`.

    Args:
        columns: Column -> the smallest and the largest mean.
        severity: What follows if it does not hold.
    """
    return _each(gxe.ExpectColumnMeanToBeBetween, _bounds(columns), severity=severity)


def every_one_of(columns: Mapping[str, Iterable[Any]], *, severity: Severity = "critical") -> Expectations:
    """Each of these values occurs in its column; others may.

    Args:
        columns: Column -> the values that must occur.
        severity: What follows if it does not hold.
    """
    return _each(gxe.ExpectColumnDistinctValuesToContainSet, _sets(columns), severity=severity)


def exactly(columns: Mapping[str, Iterable[Any]], *, severity: Severity = "critical") -> Expectations:
    """Each of these values occurs in its column, and no other.

    Args:
        columns: Column -> the values that must occur.
        severity: What follows if it does not hold.
    """
    return _each(gxe.ExpectColumnDistinctValuesToEqualSet, _sets(columns), severity=severity)


def covers(time: str, gap: timedelta, *, severity: Severity = "critical") -> OfPartition:
    """The batch reaches from one end of its partition to the other; one that was cut short does not.

    Args:
        time: The column of event time.
        gap: How far from either end the first and the last row may be.
        severity: What follows if it does not hold.
    """

    def of(partition: Partition) -> Suite:
        return [
            gxe.ExpectColumnMinToBeBetween(column=time, max_value=partition.start + gap, severity=severity),
            gxe.ExpectColumnMaxToBeBetween(column=time, min_value=partition.end - gap, severity=severity),
        ]

    return of


def resolved(suite: Any, partition: Partition | None) -> list[Any]:
    """A suite for one partition (None: for no partition in particular): without inner lists and functions.

    Args:
        suite: As `expectations.py` has it: a list, or a function of the partition.
        partition: What functions are called with; None: with nothing.
    """
    if callable(suite):
        suite = suite() if partition is None else suite(partition)
    return [one for each in suite for one in (resolved(each, partition) if _is_suite(each) else [each])]


def _is_suite(each: Any) -> bool:
    return callable(each) or isinstance(each, list | tuple)


def _each(
    kind: Callable[..., gxe.Expectation], columns: Mapping[str, Mapping[str, Any]], **common: Any
) -> Expectations:
    return [kind(column=column, **arguments, **common) for column, arguments in columns.items()]


def _bounds(columns: Mapping[str, Bounds]) -> dict[str, dict[str, Any]]:
    return {column: {"min_value": low, "max_value": high} for column, (low, high) in columns.items()}


def _sets(columns: Mapping[str, Iterable[Any]]) -> dict[str, dict[str, Any]]:
    return {column: {"value_set": list(values)} for column, values in columns.items()}
