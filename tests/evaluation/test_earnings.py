"""Money by month, of what served and over what others would have decided."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from perennial import Value, discovery
from perennial.evaluation import earnings

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
ENERGY = discovery.load("energy")
DAILY = ENERGY.model_copy(update={"value": Value(true_positive=3.0, false_positive=-1.0, currency="EUR")})


def day(key: str, labelled: int = 100, at: int = 0, version: int = 1, **values: float) -> list[dict[str, Any]]:
    row = {"partition": key, "model_version": version, "labelled": labelled, "rows": labelled, "metric": "value"}
    return [row | {"role": role, "value": of, "recorded_at": NOON + timedelta(at)} for role, of in values.items()]


def test_days_are_summed_to_months() -> None:
    rows = [
        *day("2024-01-30", champion=2.0, first=1.0, baseline=0.5),
        *day("2024-01-31", 50, champion=1.0, first=2.0, baseline=0.0),
        *day("2024-02-01", champion=4.0, first=4.0, baseline=1.0, version=2),
    ]
    seen = earnings.of(DAILY, rows)
    assert [each.month for each in seen.months] == ["2024-01", "2024-02"]
    january = seen.months[0]
    assert (january.partitions, january.rows, january.champion) == (2, 150, 250.0)
    assert (january.over_baseline, january.over_first) == pytest.approx((200.0, 50.0))
    assert (seen.total, seen.over_baseline, seen.over_first) == pytest.approx((650.0, 500.0, 50.0))
    assert seen.in_words(seen) == (
        "650 EUR, +500 EUR over the baseline model, +50 EUR over the first model, never retrained"
    )
    assert earnings.of(DAILY, rows, version=2).span == "2024-02"


def test_a_month_that_was_not_measured_for_all_says_so() -> None:
    rows = [
        *day("2024-01-30", champion=2.0, first=1.0),
        *day("2024-01-31", champion=1.0),
        *day("2024-02-01", champion=4.0, first=3.0),
    ]
    seen = earnings.of(DAILY, rows)
    assert [each.over_first for each in seen.months] == [None, pytest.approx(100.0)]
    assert (seen.over_baseline, seen.over_first) == (None, pytest.approx(100.0))
    assert seen.in_words(seen.months[0]) == "300 EUR"
    assert seen.in_words(seen) == (
        "700 EUR, +100 EUR over the first model, never retrained (in 1 of 2 months: 2024-02)"
    )


def test_the_newest_measurement_counts_with_what_was_measured_then() -> None:
    rows = [*day("2024-01-30", 80, champion=2.0, first=9.0), *day("2024-01-30", 100, at=1, champion=1.0, first=0.5)]
    (month,) = earnings.of(DAILY, rows[::-1]).months
    assert (month.rows, month.champion, month.over_first) == (100, 100.0, pytest.approx(50.0))


def test_without_a_value_there_are_no_earnings() -> None:
    assert earnings.of(ENERGY, day("2024-01-30", champion=2.0)) is None
    assert earnings.of(DAILY, [row | {"metric": "rmse"} for row in day("2024-01-30", champion=2.0)]) is None
