"""The metrics of the pipelines: what each says, and that a use case that cannot be read hides no other."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from perennial import discovery
from perennial.errors import PerennialError
from perennial.reporting import overview
from perennial.telemetry import use_case_metrics
from perennial.telemetry.catalogue import METRICS
from perennial.telemetry.use_case_metrics import Activity, PipelineRuns
from perennial.use_case import UseCase

pytestmark = pytest.mark.usefixtures("project")
NOON = datetime(2024, 1, 6, 12, tzinfo=UTC)
DOCS = Path(__file__).parents[2] / "docs" / "telemetry.md"


def seen(use_case: UseCase, **tables: list[dict[str, Any]]) -> overview.Overview:
    """A use case whose partition 2024-01-04 was loaded and monitored."""
    of = {"partition": "2024-01-04", "recorded_at": NOON, "model_version": 1}
    metric = {"metric": use_case.gate.metric, "value": 0.5}
    promoted = {"event_id": "gate:1", "action": "promoted", "previous_version": None, "model_run": "m", "actor": "gate"}
    evidence = f'{{"metrics": {{"challenger": {{"{use_case.gate.metric}": 0.45}}}}}}'
    verdict = {"verdict": "alarm", "reason": "", "explanation": "", "drifted_columns": 2, "label_coverage": 0.9}
    checked = {"until": NOON, "differences": 3, "stale": True}
    rows = {
        "batches": [of | {"table": "readings", "rows": 90, "quarantined": 10, "refusal": None}],
        "metrics": [of | metric | {"role": "champion"}],
        "verdicts": [of | verdict | {"drift_score": 0.25, "evidence": '{"rows": 7, "served": 3, "ahead": 1}'}],
        "requests": [
            of | {"partition": partition, "request_id": f"{partition}:drift", "reason": "drift", "evidence": "{}"}
            for partition in ("2024-01-02", "2024-01-04")
        ],
        "parity": [of | checked | {"view": view, "newest": newest} for view, newest in VIEWS.items()],
        "ledger": [
            of | promoted | {"partition": "2024-01-02", "effective_from": NOON, "reason": "", "evidence": evidence}
        ],
    }
    names = {name: [] for name in overview.TABLES}
    return overview._at(NOON, overview.of_records(use_case, names | rows | tables))


VIEWS = {"recent_demand": NOON - timedelta(hours=1), "never_served": None}


def samples(text: bytes) -> dict[str, float]:
    """Every sample, as Prometheus' own parser reads it, by name and the values of its labels but the use case's."""
    read = {}
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            labels = [value for name, value in sample.labels.items() if name != "use_case"]
            key = " ".join([sample.name.removeprefix("perennial_"), *labels])
            assert key not in read
            read[key] = sample.value
    return read


def shown(one: overview.Overview | None, activity: Activity | None = None) -> dict[str, float]:
    return samples(use_case_metrics.of_use_case("energy", one, activity, NOON).exposition())


def test_data_and_online_store(energy: UseCase) -> None:
    found = shown(seen(energy.model_copy(update={"end": None})))
    end = datetime(2024, 1, 5, tzinfo=UTC)
    expected = {
        "loaded_until_timestamp_seconds": end.timestamp(),
        "freshness_lag_seconds": timedelta(days=1, hours=12).total_seconds(),
        "overdue_partitions": 1,
        "loaded_rows": 90,
        "quarantined_rows": 10,
        "quarantined_ratio": 0.1,
        "pending_review_items": 0,
        "online_lag_seconds recent_demand": 3600,
        "online_stale recent_demand": 1,
        "online_stale never_served": 1,
        "online_different_values recent_demand": 3,
    }
    assert expected.items() <= found.items()
    assert "online_lag_seconds never_served" not in found


def test_a_use_case_that_has_ended_is_not_late(energy: UseCase) -> None:
    found = shown(seen(energy.model_copy(update={"end": "2024-01-05"})))
    assert not {"freshness_lag_seconds", "overdue_partitions"} & found.keys()
    assert found["loaded_rows"] == 90


def test_monitoring_and_model(energy: UseCase) -> None:
    metric = energy.gate.metric
    found = shown(seen(energy))
    expected = {
        f"production_metric {metric}": 0.5,
        f"expected_metric {metric}": 0.45,
        "verdict alarm": 1,
        "verdict healthy": 0,
        "verdict_timestamp_seconds": NOON.timestamp(),
        "label_coverage_ratio": 0.9,
        "drift_score_ratio": 0.25,
        "drifted_columns": 2,
        "open_alarms": 1,
        "partition_predictions on_request": 2,
        "partition_predictions ahead": 1,
        "partition_predictions backfilled": 4,
        "champion_version": 1,
        "champion_since_timestamp_seconds": NOON.timestamp(),
        "open_retraining_requests": 1,
        "promotion_paused": 0,
        "rollout": 0,
        "use_case_problem": 0,
    }
    assert expected.items() <= found.items()
    assert found[f"improvement {metric}"] == pytest.approx(-0.05)  # An error: less of it is better.


def test_before_anything_ran_nothing_is_zero_that_is_unknown(energy: UseCase) -> None:
    empty = overview.of_records(energy, {name: [] for name in overview.TABLES})
    found = shown(empty)
    assert {name.split()[0] for name in found} == {
        "use_case_info",
        "use_case_problem",
        "pending_review_items",
        "open_alarms",
        "champion_version",
        "open_retraining_requests",
        "promotion_paused",
        "rollout",
    }


def test_runs_of_each_pipeline(energy: UseCase) -> None:
    ended = PipelineRuns(
        active=2,
        oldest_active=NOON,
        failed=1,
        started=NOON - timedelta(seconds=90),
        ended=NOON,
        succeeded=NOON - timedelta(days=1),
    )
    found = shown(None, Activity({"scoring": ended, "training": PipelineRuns(is_known=False)}, approvals=1))
    expected = {
        "pipeline_missing scoring": 0,
        "pipeline_missing training": 1,
        "active_runs scoring": 2,
        "oldest_active_run_timestamp_seconds scoring": NOON.timestamp(),
        "failed_runs scoring": 1,
        "run_duration_seconds scoring": 90,
        "run_end_timestamp_seconds scoring": NOON.timestamp(),
        "run_success_timestamp_seconds scoring": (NOON - timedelta(days=1)).timestamp(),
        "pending_approvals": 1,
        "use_case_problem": 1,
    }
    assert expected.items() <= found.items()
    assert "run_duration_seconds training" not in found


def test_a_retired_use_case_has_no_state(energy: UseCase) -> None:
    one = seen(energy)
    retired = replace(one, status=replace(one.status, retired="retired since 2024-01-01 by ada: done"))
    found = shown(retired, Activity({"scoring": PipelineRuns(failed=3)}))
    assert {name.split()[0] for name in found} == {"use_case_info"}


def test_what_cannot_be_read_hides_nothing_else(energy: UseCase, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["energy", "flights", "no_declaration"]
    odd = seen(energy).latest_batch
    assert odd is not None
    another_cadence = replace(seen(energy), latest_batch=replace(odd, partition="2024-01"))
    flights = overview.of_records(discovery.load("flights"), {name: [] for name in overview.TABLES})

    def overviews(use_cases: list[UseCase]) -> list[overview.Overview]:
        if len(use_cases) > 1:
            raise PerennialError("one of them cannot be read", "")
        return [{"energy": another_cadence, "flights": flights}[use_cases[0].name]]

    monkeypatch.setattr(overview, "overviews", overviews)
    text = use_case_metrics.of_use_cases(names, None, NOON).exposition().decode()
    assert "perennial_airflow_problem 1.0" in text
    problems = dict(re.findall(r'perennial_use_case_problem\{use_case="(\w+)"\} (\S+)', text))
    assert problems == {"energy": "1.0", "flights": "0.0", "no_declaration": "1.0"}
    assert 'perennial_champion_version{use_case="flights"} 0.0' in text
    assert 'perennial_champion_version{use_case="energy"}' not in text


def test_names_carry_units_and_are_documented() -> None:
    documented = re.findall(r"^\| `(perennial_\w+)` \| ([^|]*) \| ([^|]*) \|$", DOCS.read_text(), re.MULTILINE)
    told = {name: (labels, about) for name, labels, about in documented}
    own = {one.name: (", ".join(f"`{label}`" for label in one.labels) or "–", one.about) for one in METRICS}
    assert told == own
    for one in METRICS:
        assert re.fullmatch(r"perennial_[a-z_]+[a-z]", one.name)
        assert not one.name.endswith(("_total", "_count", "_sum", "_bucket", "_days", "_percent", "_ms"))
