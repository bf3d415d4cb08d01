"""How a verdict follows from its evidence."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from perennial import Cadence, DriftPolicy, Retraining, monitoring
from perennial.drift import ColumnDrift

MARCH = Cadence.MONTHLY.partition("2013-03")
CHAMPION = SimpleNamespace(
    model_version=1,
    effective_from=datetime(2013, 3, 1, tzinfo=UTC),
    evidence={"metrics": {"challenger": {"roc_auc": 0.75}}},
)


def use_case(**retraining: Any) -> SimpleNamespace:
    return SimpleNamespace(
        cadence=Cadence.MONTHLY,
        drift=DriftPolicy(ratio=1.5, warning=0.2, alarm=0.5, performance_drop=0.03, min_rows=100),
        gate=SimpleNamespace(metric="roc_auc"),
        retraining=Retraining(**retraining),
    )


def column(importance: float, ratio: float = 2.0, name: str = "x") -> ColumnDrift:
    return ColumnDrift(name, "wasserstein", 0.2, 0.1, ratio, importance, drifted=ratio > 1.5)


def decide(*columns: ColumnDrift, lived: float = 0.75, rows: int = 1000, month=MARCH, case=None) -> monitoring.Verdict:
    performance = {"champion": {"roc_auc": lived}}
    return monitoring._decide(case or use_case(), month, CHAMPION, rows, 1.0, performance, list(columns))


@pytest.mark.parametrize(
    ("share", "verdict", "reason"),
    [(0.1, "healthy", ""), (0.2, "warning", ""), (0.49, "warning", ""), (0.5, "alarm", "drift")],
)
def test_the_drifted_share_of_importance_decides(share: float, verdict: str, reason: str) -> None:
    decided = decide(column(share))
    assert (decided.verdict, decided.reason) == (verdict, reason)


def test_what_did_not_drift_does_not_count() -> None:
    assert decide(column(0.9, ratio=1.5)).verdict == "healthy"


def test_performance_outranks_drift() -> None:
    assert decide(column(0.9), lived=0.71).reason == "performance"


def test_a_loss_inside_the_tolerance_is_no_alarm() -> None:
    assert decide(lived=0.721).verdict == "healthy"


def test_too_few_rows_judge_no_drift() -> None:
    decided = decide(column(0.9), rows=99)
    assert (decided.verdict, decided.reason) == ("warning", "")
    assert "100 are needed" in decided.evidence["note"]


@pytest.mark.parametrize(("month", "reason"), [("2013-04", ""), ("2013-05", "age")])
def test_a_champion_of_age_is_retrained(month: str, reason: str) -> None:
    decided = decide(month=Cadence.MONTHLY.partition(month), case=use_case(max_age=3))
    assert decided.reason == reason


def test_evidence_is_json_also_when_a_column_is_empty() -> None:
    decided = decide(column(0.9, ratio=float("inf")), column(0, ratio=1.0, name="prediction"))
    assert decided.evidence["drifted"] == {"x": "empty now"}
    assert decided.evidence["prediction_drift"] == 1.0
    json.dumps(decided.evidence, allow_nan=False)
