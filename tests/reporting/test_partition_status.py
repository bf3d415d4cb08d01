"""The status of a use case, from rows in a real lake."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from perennial import Rollout, discovery, lake
from perennial.lake.schemas import (
    BACKTESTS,
    BATCHES,
    LEDGER,
    METRICS,
    QUARANTINE,
    QUARANTINE_DECISIONS,
    REFUSED_BATCHES,
    REQUESTS,
    VERDICTS,
)
from perennial.reporting import partition_status, terminal
from perennial.use_case import UseCase

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def use_case(home: Path, request: pytest.FixtureRequest) -> UseCase:
    """Flights under a name of its own, so that each test sees an empty lake."""
    flights = discovery.load("flights")
    return flights.model_copy(update={"name": request.node.name[:40]})


def write(use_case: UseCase, table: str, schema: pa.Schema, *rows: dict[str, Any]) -> None:
    lake.append_missing(use_case.tables[table], pa.Table.from_pylist(list(rows), schema=schema), key=schema.names[1:])


def test_the_first_model_is_compared_on_the_same_labels(use_case: UseCase) -> None:
    metric = {"partition": "2013-03", "metric": "roc_auc", "rows": 100, "labelled": 90, "value": 0.7}
    write(
        use_case,
        "metrics",
        METRICS,
        metric | {"role": "champion", "model_version": 2, "recorded_at": NOON},
        metric | {"role": "first", "model_version": 1, "recorded_at": NOON},
        metric | {"role": "champion", "model_version": 2, "recorded_at": NOON + timedelta(hours=1), "value": 0.8},
    )
    (row,) = partition_status.status(use_case).partitions
    assert (row.metric, row.first_model_metric) == (0.8, None)


def test_the_regret_is_part_of_the_status(use_case: UseCase) -> None:
    metric = {"partition": "2013-03", "metric": "roc_auc", "rows": 100, "labelled": 90, "recorded_at": NOON}
    write(
        use_case,
        "metrics",
        METRICS,
        metric | {"role": "champion", "model_version": 2, "value": 0.75},
        metric | {"role": "first", "model_version": 1, "value": 0.7},
    )
    replayed = {"partition": "2013-03", "metric": "roc_auc", "labelled": 90, "recorded_at": NOON}
    rows = [replayed | {"policy": "always", "value": 0.76}, replayed | {"policy": "baseline", "value": 0.5}]
    write(use_case, "backtests", BACKTESTS, *rows)
    state = partition_status.status(use_case)
    assert (state.regret.gained, state.regret.left) == pytest.approx((0.05, 0.01))
    told = json.loads(json.dumps(state.as_json()))["regret"]
    assert told["always"] == 0.76
    assert told["at"] == NOON.isoformat()


def test_nothing_has_run(use_case: UseCase) -> None:
    state = partition_status.status(use_case)
    assert state.partitions == ()
    assert "perennial replay" in state.hint
    assert "nothing has run yet" in terminal.one_line(state)


def test_a_partition_tells_its_story(use_case: UseCase) -> None:
    batch = {"partition": "2013-03", "suite": "s", "code_version": "c"}
    write(
        use_case,
        "batches",
        BATCHES,
        batch | {"table": "flights", "rows": 100, "quarantined": 2},
        batch | {"table": "weather", "rows": 50, "quarantined": 0},
        batch | {"table": "route_lateness", "rows": 7, "quarantined": 0},
    )
    metric = {"partition": "2013-03", "metric": "roc_auc", "rows": 100, "labelled": 90, "model_version": 2}
    write(
        use_case,
        "metrics",
        METRICS,
        metric | {"role": "champion", "value": 0.5, "recorded_at": NOON},
        metric | {"role": "champion", "value": 0.75, "recorded_at": NOON + timedelta(hours=1)},
        metric | {"role": "first", "value": 0.60, "model_version": 1, "recorded_at": NOON},
        metric | {"role": "first", "value": 0.70, "model_version": 1, "recorded_at": NOON + timedelta(hours=1)},
        metric | {"role": "champion", "metric": "brier", "value": 0.2, "recorded_at": NOON + timedelta(hours=2)},
    )
    write(
        use_case,
        "verdicts",
        VERDICTS,
        {"partition": "2013-03", "model_version": 2, "verdict": "alarm", "drifted_columns": 4, "recorded_at": NOON},
    )
    entry = {"partition": "2013-03", "effective_from": NOON, "recorded_at": NOON, "evidence": "{}", "actor": "gate"}
    write(
        use_case,
        "ledger",
        LEDGER,
        entry | {"event_id": "a", "action": "promoted", "model_version": 3, "previous_version": 2},
        entry | {"event_id": "b", "action": "rejected", "model_version": 4, "previous_version": 3},
    )
    state = partition_status.status(use_case)
    assert state.champion == 3
    (row,) = state.partitions
    assert row == partition_status.PartitionStatus(
        partition="2013-03",
        rows=150,
        quarantined=2,
        waiting=0,
        champion=2,
        metric=0.75,
        first_model_metric=0.70,
        drifted_columns=4,
        verdict="alarm",
        done="promoted v3, rejected v4",
        alarm=row.alarm,
    )
    assert (row.alarm.is_open, row.alarm.cause, row.alarm.decision) == (False, "stale", 3)
    assert state.as_json()["partitions"][0]["done"] == row.done
    assert len(terminal.table(state).rows) == 1


def test_what_is_pending_review_is_counted_and_shown(use_case: UseCase) -> None:
    of = {"partition": "2013-03", "table": "flights", "suite": "s", "code_version": "c"}
    write(use_case, "batches", BATCHES, of | {"rows": 100, "quarantined": 3, "refusal": "now"})
    row = of | {"content": "f", "row": "{}", "reasons": "kwh", "recorded_at": NOON}
    write(
        use_case,
        "quarantine",
        QUARANTINE,
        *(row | {"refusal": "now", "row_id": name, "position": number} for number, name in enumerate("abc")),
        row | {"refusal": "before", "row_id": "gone", "position": 0},
    )
    decision = of | {"number": 1, "accepted": "[]", "content": "f", "actor": "ada", "reason": "r", "recorded_at": NOON}
    write(use_case, "quarantine_decisions", QUARANTINE_DECISIONS, decision | {"item": "b", "action": "discarded"})
    batch = of | {
        "partition": "2013-04",
        "batch": "whole",
        "content": "g",
        "rows": 9,
        "reasons": "[]",
        "message": "few",
    }
    write(use_case, "refused_batches", REFUSED_BATCHES, batch | {"recorded_at": NOON})
    state = partition_status.status(use_case)
    assert {row.partition: row.waiting for row in state.partitions} == {"2013-03": 2, "2013-04": 1}
    assert ", 3 in quarantine pending review," in terminal.one_line(state)


def test_the_first_model_and_an_open_request_differ(use_case: UseCase) -> None:
    entry = {"partition": "2013-02", "event_id": "a", "action": "promoted", "model_version": 1}
    write(use_case, "ledger", LEDGER, entry | {"effective_from": NOON, "recorded_at": NOON, "evidence": "{}"})
    write(use_case, "requests", REQUESTS, {"partition": "2013-04", "request_id": "r", "recorded_at": NOON})
    assert [row.done for row in partition_status.status(use_case).partitions] == [
        "first model v1",
        "retraining requested",
    ]


def test_a_rollout_is_told_with_its_stage(use_case: UseCase) -> None:
    tried = use_case.model_copy(update={"rollout": Rollout(shadow=timedelta(days=7))})
    stage = {"stage": {"share": 0.05, "seconds": 3_600.0}, "decision": {}}
    entry = {"partition": "2013-02", "event_id": "rollout:2:0", "action": "rollout", "model_version": 2}
    entry |= {"previous_version": 1, "evidence": json.dumps(stage)}
    write(use_case, "ledger", LEDGER, entry | {"effective_from": NOON, "recorded_at": NOON})
    state = partition_status.status(tried)
    assert (state.rollout.version, state.rollout.champion, state.rollout.stage) == (2, 1, "canary 5%")
    assert state.rollout.stage_ends - state.rollout.since == timedelta(hours=1)
    assert "v2 is tried (canary 5%)" in terminal.one_line(state)
    assert str(state.rollout).startswith("v2 is tried on live requests beside v1: canary 5% since ")
    assert partition_status.status(use_case).rollout is None


def test_what_a_person_put_in_shadow_is_not_called_tried(use_case: UseCase) -> None:
    entry = {"partition": "2013-02", "event_id": "shadow:r", "action": "shadow", "model_version": 1, "actor": "ada"}
    entry |= {"previous_version": 2, "evidence": json.dumps({"stage": {"share": 0.0, "seconds": 86_400.0}})}
    now = datetime.now(UTC)
    write(use_case, "ledger", LEDGER, entry | {"effective_from": NOON, "recorded_at": now})
    state = partition_status.status(use_case)
    assert ", v1 is in shadow (by ada)," in terminal.one_line(state)
    assert str(state.rollout).startswith("v1 is in shadow beside v2, put there by ada: since ")


def test_rejections_do_not_change_the_champion(use_case: UseCase) -> None:
    entry = {
        "partition": "2013-02",
        "effective_from": NOON,
        "recorded_at": NOON,
        "evidence": "{}",
        "previous_version": 1,
    }
    write(use_case, "ledger", LEDGER, entry | {"event_id": "a", "action": "rejected", "model_version": 2})
    assert partition_status.status(use_case).champion is None
