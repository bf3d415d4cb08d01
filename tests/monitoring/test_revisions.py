"""What revises a verdict, and what answers a revised one; the rest is in test_monitoring.py, beside what is revised."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from perennial.lake.labels import KnownLabels
from perennial.monitoring import revisions

NOON = datetime(2024, 1, 7, 12, tzinfo=UTC)
REVISED = {"partition": "2024-01-04", "recorded_at": NOON}


def request(partition: str, after: timedelta = timedelta(0), judged: str | None = None) -> dict[str, Any]:
    evidence = json.dumps({"partition": judged or partition})
    return {"partition": partition, "recorded_at": NOON + after, "evidence": evidence}


@pytest.mark.parametrize(
    ("made", "answers"),
    [
        (request("2024-01-04", timedelta(days=-1)), True),
        (request("2024-01-05", timedelta(days=-1), judged="2024-01-04"), True),
        (request("2024-01-06"), True),
        (request("2024-01-06", timedelta(microseconds=-1)), False),
        (request("2024-01-03", timedelta(days=1)), False),
    ],
    ids=["its own", "a later one for it", "a later one since", "a later one before", "an earlier one"],
)
def test_a_revised_verdict_is_answered_by_what_knew_of_it(made: dict[str, Any], answers: bool) -> None:
    assert revisions._covers(made, REVISED) is answers


@pytest.mark.parametrize(
    ("now", "has_others"),
    [
        (KnownLabels(5, "a"), False),
        (KnownLabels(5, "b"), True),
        (KnownLabels(6, "b"), True),
        (KnownLabels(4, "c"), True),
    ],
)
def test_other_labels_are_recognized_by_their_digest(now: KnownLabels, has_others: bool) -> None:
    assert revisions._labels_changed({"labels": 5, "labels_digest": "a"}, now) is has_others


@pytest.mark.parametrize("record", [{"labels": 5}, {"labels": 5, "labels_digest": None}])
@pytest.mark.parametrize(("count", "has_others"), [(5, False), (6, True)])
def test_record_without_digest_is_compared_by_count(record, count: int, has_others: bool) -> None:
    assert revisions._labels_changed(record, KnownLabels(count, "a")) is has_others
