"""What the page of a model version shows of its rollout, from records alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from use_case_world import World

from perennial import Rollout
from perennial.gate.decision import ClassCounts, GateDecision
from perennial.gate.rollout_report import RolloutReport
from perennial.monitoring.verdict import ClassEvidence, VerdictEvidence
from perennial.pages import layout, verdict_evidence, version
from perennial.pages.version import RequestedVersion
from perennial.pages.version_training import TrainingRecord
from perennial.registry import ledger
from perennial.registry.mlflow_records import MlflowRun

REPORT = RolloutReport(
    at=datetime(2024, 1, 5, 12, tzinfo=UTC),
    stage="canary 5%",
    champion=1,
    labelled=1_234,
    unlabelled=56,
    predicted=789,
    failed=3,
    metrics={"challenger": {"rmse": 0.2}, "rival": {"rmse": 0.3}},
    reason="stage canary 5% of v2 lasts until 2024-01-06 00:00 UTC at least",
)


def shown(world: World, metrics: dict[str, float] | None = None, **documents: Any) -> str:
    run = MlflowRun("run2", "1", tags={}, params={}, metrics=metrics or {})
    entries = tuple(ledger.from_rows(world.rows["ledger"]))
    view = version.view(RequestedVersion(world.use_case, 2, entries, "run2"), [], [], TrainingRecord(run, documents))
    text = layout.render("version", **view, made_by=None, airflow_run=None, may_roll_back=False)
    return " ".join(text.split())


def world(energy) -> World:
    tried = World(energy.model_copy(update={"rollout": Rollout(shadow=timedelta(days=1))}))
    return tried.decided(1, None, "2024-01-02").tried(2, 1, "2024-01-03").tried(2, 1, "2024-01-03", share=0.05)


def test_the_stages_and_what_is_known_are_shown(energy) -> None:
    page = shown(world(energy), **{"rollout.json": REPORT.model_dump(mode="json")})
    assert page.index(">shadow<") < page.index(">canary 5%<")
    assert "1,234 requests with a label that both predicted, 56 without" in page
    assert "789 predictions of v2 that count in this stage, 3 failed" in page
    assert "Both on the same requests" in page


def test_before_the_first_look_only_the_stages_are_shown(energy) -> None:
    assert "It was not looked at yet." in shown(world(energy))
    assert "It was not looked at yet." in shown(world(energy), **{"rollout.json": {"stage": "of another release"}})


def test_a_version_without_a_rollout_shows_none(energy) -> None:
    plain = World(energy).decided(1, None, "2024-01-02").decided(2, 1, "2024-01-03")
    assert "Stages on live requests" not in shown(plain)


def test_what_the_training_run_cost_is_shown_if_recorded(energy) -> None:
    plain = World(energy).decided(2, None, "2024-01-02")
    assert "what its run cost" not in shown(plain)
    text = shown(plain, {"cost_cpu_seconds": 1_234.5, "cost_gb_hours": 0.5, "cost_money": 0.0123})
    assert "<dd>1,234.5 CPU seconds, 0.5000 GB hours, 0.0123 in money</dd>" in text


def test_what_became_of_each_class_is_shown(energy) -> None:
    counts = {
        "often": ClassCounts(fitted=1_900, rows=40, challenger={"often": 30, "never": 10}, champion={"often": 40}),
        "never": ClassCounts(fitted=None, rows=0, challenger={}, champion={}),
    }
    decision = GateDecision(
        promote=False,
        outcome="reject",
        reason="no better",
        challenger=2,
        champion=1,
        partition="2024-01-03",
        effective_from=REPORT.at,
        rows=40,
        rules=[],
        metrics={},
        classes=counts,
    )
    page = shown(World(energy).decided(1, None, "2024-01-02"), **{"gate.json": decision.model_dump(mode="json")})
    assert "By class: v2 / v1" in page
    assert '<th scope="row">often</th><td class="number">1,900</td><td class="number">40</td>' in page
    assert '<td class="number">0.75 / 1.00</td>' in page
    assert '<td class="number">- / -</td>' in page


def test_the_classes_of_a_partition_are_told() -> None:
    evidence = VerdictEvidence(classes={"often": ClassEvidence(labels=1_200, predicted=1_000, right=900)})
    assert (
        dict(verdict_evidence.facts(evidence))["classes"] == "often 1,200 labels, 1,000 predicted, 900 of them rightly"
    )
