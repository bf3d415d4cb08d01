"""How a verdict follows from its evidence, and how labels that come late revise it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from pipelines import train

from perennial import Cadence, DriftPolicy, Retraining, Value, drift, gate, lake, scoring
from perennial.drift import ColumnDrift
from perennial.errors import ServiceUnavailable
from perennial.gate.decision import GateDecision
from perennial.ingestion import compute, ingest, publish
from perennial.lake import labels
from perennial.monitoring import estimate, expectation, monitor, performance, revisions, rules
from perennial.monitoring.live_slices import SlicePerformance
from perennial.monitoring.performance import Performance
from perennial.monitoring.rules import Observations
from perennial.monitoring.verdict import ClassEvidence, VerdictEvidence
from perennial.partitions import Partition
from perennial.quarantine import QuarantineShare
from perennial.registry import ledger, retraining_requests
from perennial.training import fit
from perennial.use_case import UseCase

MARCH = Cadence.MONTHLY.partition("2013-03")
CHAMPION = SimpleNamespace(
    model_version=1,
    effective_from=datetime(2013, 3, 1, tzinfo=UTC),
    evidence={"metrics": {"challenger": {"roc_auc": 0.75}}},
)
NOTHING_QUARANTINED = QuarantineShare(now=0.0, usual=0.0, partitions=3)


def use_case(cadence: Cadence = Cadence.MONTHLY, max_age: int | None = None, **policy: Any) -> SimpleNamespace:
    return SimpleNamespace(
        cadence=cadence,
        drift=DriftPolicy(**{"warning": 0.2, "alarm": 0.5, "performance_drop": 0.03, "min_rows": 100} | policy),
        gate=SimpleNamespace(metric="roc_auc"),
        retraining=Retraining(max_age=max_age),
    )


def column(importance: float, ratio: float = 2.0, name: str = "x", why: str = "values") -> ColumnDrift:
    explanation = f"{name} told"
    return ColumnDrift(
        name, "wasserstein", 0.2, 0.1, ratio, importance, drifted=ratio > 1.5, why=why, explanation=explanation
    )


def decide(
    *columns: ColumnDrift,
    lived: float | None = 0.75,
    uncertainty: float = 0.01,
    rows: int = 1000,
    month: Partition = MARCH,
    case: SimpleNamespace | None = None,
    before: int = 0,
    quarantined: QuarantineShare = NOTHING_QUARANTINED,
    missing: tuple[str, ...] = (),
) -> monitor.Verdict:
    """The verdict; `before` of the partitions before were as far off as this one."""
    case = case or use_case()
    first_metrics = {} if lived is None else {"roc_auc": lived}
    observed = Observations(
        partition=month,
        champion=CHAMPION,
        rows=rows,
        performance=Performance(rows, rows, first_metrics, uncertainty=uncertainty),
        columns=list(columns),
        sustained=dict.fromkeys(rules.alarming_drift(case.drift, list(columns)), 1 + before),
        quarantined=quarantined,
        expectation=expectation.of_decision(CHAMPION, 1),
        missing=missing,
    )
    return rules.decide(case, observed)


@pytest.mark.parametrize(
    ("share", "verdict", "reason"),
    [(0.1, "healthy", ""), (0.2, "warning", ""), (0.49, "warning", ""), (0.5, "alarm", "drift")],
)
def test_the_drifted_share_of_importance_decides(share: float, verdict: str, reason: str) -> None:
    decided = decide(column(share))
    assert (decided.verdict, decided.reason) == (verdict, reason)
    assert "x (x told)" in decided.explanation


def test_any_drifted_column_is_a_warning_by_default() -> None:
    decided = decide(column(0.0, name="broken", why="nulls"), case=use_case(warning=0.0))
    assert decided.verdict == "warning"
    assert "broken (broken told)" in decided.explanation


@pytest.mark.parametrize(
    ("why", "distance", "verdict"),
    [
        ("nulls", 0.2, "warning"),
        ("new", 0.2, "warning"),
        ("vanished", 0.2, "warning"),
        ("scale", 5.9, "warning"),
        ("scale", 0.5, "healthy"),
        ("values", 0.2, "healthy"),
    ],
)
def test_what_looks_broken_is_a_warning_at_any_importance(why: str, distance: float, verdict: str) -> None:
    decided = decide(replace(column(0.0, why=why), distance=distance))
    assert decided.verdict == verdict
    assert "x (x told)" in decided.explanation


def test_what_did_not_drift_does_not_count() -> None:
    assert decide(column(0.9, ratio=1.5)).verdict == "healthy"


def test_a_healthy_verdict_says_what_it_could_not_have_found() -> None:
    """Of the three most important numbers, not of the predictions nor of what is not known."""
    shifts = enumerate((7, 0.00387, 1.876, 123.4))
    known = [replace(column(n / 10, ratio=1.0, name=f"n{n}"), detectable=shift) for n, shift in shifts]
    unknown, prediction = column(0.9, ratio=1.0), replace(column(0.9, 1.0, "prediction"), detectable=0.1)
    decided = decide(*known, unknown, prediction)
    said = "blind to shifts below 120 sd of n3, 1.9 sd of n2, 0.0039 sd of n1"
    assert decided.explanation == f"nothing exceeds its training baseline ({said})"
    assert decided.evidence.detectable == {"n3": 123, "n2": 1.88, "n1": 0.00387}
    assert "blind" not in decide(column(0.9, ratio=1.0)).explanation


def test_nothing_is_said_to_be_hidden_in_what_drifted() -> None:
    decided = decide(replace(column(0.01), detectable=0.5))
    assert decided.verdict == "healthy"
    assert (decided.explanation, decided.evidence.detectable) == ("only drift of x (x told)", {})


def test_performance_outranks_drift() -> None:
    decided = decide(column(0.9), lived=0.71)
    assert decided.reason == "performance"
    assert decided.evidence.alarms == ("performance", "drift")
    assert decided.explanation.startswith("roc_auc is 0.71 on 1,000 labels where 0.75 was expected")


def test_a_loss_inside_the_tolerance_is_no_alarm() -> None:
    assert decide(lived=0.721).verdict == "healthy"


def test_a_loss_that_few_labels_may_have_made_up_is_no_alarm() -> None:
    assert decide(lived=0.7, uncertainty=0.06).verdict == "healthy"


def test_without_labels_there_is_no_alarm_of_performance() -> None:
    decided = decide(lived=None)
    assert decided.verdict == "healthy"
    assert decided.evidence.lost is None


def test_predictions_that_drift_are_an_alarm_of_their_own() -> None:
    decided = decide(column(0, name="prediction"), column(0.1, ratio=1.0))
    assert (decided.verdict, decided.reason) == ("alarm", "prediction-drift")


def test_too_few_rows_give_no_drift() -> None:
    decided = decide(column(0.9), rows=99)
    assert (decided.verdict, decided.reason) == ("warning", "")
    assert "100 are needed" in decided.explanation


@pytest.mark.parametrize(("month", "reason"), [("2013-04", ""), ("2013-05", "age")])
def test_a_champion_of_age_is_retrained(month: str, reason: str) -> None:
    decided = decide(month=Cadence.MONTHLY.partition(month), case=use_case(max_age=3))
    assert decided.reason == reason


@pytest.mark.parametrize(("before", "verdict"), [(0, "warning"), (1, "alarm")])
def test_of_days_two_must_be_beyond_it(before: int, verdict: str) -> None:
    decided = decide(column(0.9), case=use_case(Cadence.DAILY), before=before)
    assert decided.verdict == verdict
    assert decided.evidence.persistence == (2, 3)


def test_the_persistence_of_the_use_case_wins() -> None:
    assert decide(column(0.9), case=use_case(persistence=(3, 4)), before=1).verdict == "warning"
    assert decide(column(0.9), case=use_case(persistence=(3, 4)), before=2).verdict == "alarm"


@pytest.mark.parametrize("wrong", [(0, 1), (3, 2), (1, 99)])
def test_an_invalid_persistence_is_refused(wrong: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="persistence"):
        DriftPolicy(persistence=wrong)


@pytest.mark.parametrize(
    ("now", "usual", "alarm"),
    [(0.05, 0.01, True), (0.02, 0.01, False), (0.009, 0.0, False), (0.02, 0.0, True), (0.05, None, False)],
)
def test_growing_quarantine_alarms_without_retraining(now, usual, alarm: bool) -> None:
    decided = decide(quarantined=QuarantineShare(now=now, usual=usual, partitions=3))
    assert (decided.verdict == "alarm") == alarm
    assert decided.reason == ""
    assert ("quarantined" in decided.explanation) == alarm


def test_growing_quarantine_delays_retraining_for_drift_only() -> None:
    much = QuarantineShare(now=0.09, usual=0.01, partitions=3)
    assert decide(column(0.9), quarantined=much).reason == ""
    assert decide(column(0.9), quarantined=much, lived=0.6).reason == "performance"


@pytest.mark.parametrize(
    ("importance", "why", "cause"),
    [(0.1, "nulls", "broken-data"), (0.1, "new", "broken-data"), (0.09, "nulls", None), (0.9, "values", None)],
)
def test_columns_that_look_broken_and_matter_explain_a_loss(importance: float, why: str, cause: str | None) -> None:
    decided = decide(column(importance, why=why), lived=0.6)
    assert (decided.reason, decided.evidence.cause) == ("performance", cause)
    assert decided.evidence.broken == (("x: x told",) if cause else ())


def test_broken_data_without_a_loss_are_no_cause() -> None:
    assert decide(column(0.3, why="nulls")).evidence.cause is None


def test_a_grown_quarantine_explains_a_loss() -> None:
    decided = decide(lived=0.6, quarantined=QuarantineShare(now=0.09, usual=0.01, partitions=3))
    assert (decided.reason, decided.evidence.cause) == ("performance", "broken-data")
    assert decided.explanation.endswith(
        "the data look broken (9.0% of the rows are quarantined, usually 1.0%): fix the source"
    )


def test_a_missing_partition_before_explains_a_loss() -> None:
    decided = decide(lived=0.6, missing=("2013-01", "2013-02"))
    assert decided.evidence.broken == ("2013-01, 2013-02 before it is missing",)
    assert decide(missing=("2013-02",)).verdict == "healthy"


def test_few_labels_are_said_beside_what_is_usual() -> None:
    case = use_case()
    observed = Observations(MARCH, CHAMPION, 1000, Performance(1000, 400), [], {}, NOTHING_QUARANTINED)
    decided = rules.decide(case, observed)
    assert (decided.verdict, decided.evidence.cause) == ("healthy", "labels")
    assert decided.explanation == (
        "nothing exceeds its training baseline; performance is not known yet: 400 of 1,000 predictions have a label,"
        " 80% are needed"
    )
    unwatched = use_case(performance_drop=None)
    assert rules.decide(unwatched, observed).evidence.cause is None


def test_after_a_rollback_the_classes_are_those_of_the_decision_on_the_version() -> None:
    """The entry that made it champion again is of a person, and says nothing of classes."""
    counted = {"old": ClassEvidence(labels=900, predicted=990, right=900), "new": ClassEvidence(labels=90, predicted=0)}
    measured = Performance(1000, 990, {"roc_auc": 0.75}, uncertainty=0.01, classes=counted)
    before = {"old": {"fitted": 5000, "rows": 900, "challenger": {}, "champion": {}}}
    decision = GateDecision(
        promote=True,
        outcome="promote",
        reason="as measured",
        challenger=1,
        champion=None,
        partition="2013-02",
        effective_from=MARCH.start,
        rows=900,
        rules=[],
        metrics={},
        classes=before,
    )
    decided = SimpleNamespace(evidence=decision.model_dump(mode="json"))
    observed = Observations(MARCH, CHAMPION, 1000, measured, [], {}, NOTHING_QUARANTINED, decided=decided)
    verdict = rules.decide(use_case(), observed)
    assert verdict.evidence.classes["new"].fitted == 0
    assert "class 'new' has 90 of 990 labels, and the version was fitted on none" in verdict.explanation


def sliced(*values: tuple[str, float, float]) -> Observations:
    """1,000 labels with an AUC of 0.745, and slices with what they reached and what was expected of them."""
    measured = tuple(SlicePerformance("origin", name, 300, reached, 0.02) for name, reached, _ in values)
    expected = expectation.Expectation(
        {"roc_auc": 0.75}, {name: expectation.ExpectedSlice(before, 300) for name, _, before in values}
    )
    reached = Performance(1000, 1000, {"roc_auc": 0.745}, uncertainty=0.01, slices=measured)
    return Observations(MARCH, CHAMPION, 1000, reached, [], {}, NOTHING_QUARANTINED, expected)


def test_a_slice_that_fell_is_an_alarm_and_requests_retraining() -> None:
    decided = rules.decide(use_case(), sliced(("origin=EWR", 0.76, 0.75), ("origin=JFK", 0.70, 0.75)))
    assert (decided.verdict, decided.reason, decided.evidence.cause) == ("alarm", "slice", "slice")
    assert decided.explanation.startswith("roc_auc fell on origin=JFK (0.7 where 0.75 was expected)")
    json.dumps(decided.evidence.as_json(), allow_nan=False)


def test_the_uncertainty_of_what_the_gate_measured_counts_too() -> None:
    # 0.028 was lost to 0.02 * sqrt(2) of uncertainty, and 0.03 may be lost.
    kept = rules.decide(
        use_case(performance_drop=0.01), sliced(("origin=EWR", 0.76, 0.75), ("origin=JFK", 0.722, 0.75))
    )
    assert kept.verdict == "healthy"
    assert kept.evidence.slices["origin=JFK"].uncertainty == pytest.approx(0.0283, abs=1e-4)
    assert not kept.evidence.slices["origin=JFK"].fell


def test_slices_measured_by_another_metric_are_no_expectation() -> None:
    observed = sliced(("origin=EWR", 0.76, 12.3), ("origin=JFK", 0.70, 12.3))
    other = replace(observed.expectation, slice_metric="rmse")
    decided = rules.decide(use_case(), replace(observed, expectation=other))
    assert (decided.verdict, decided.evidence.slices) == ("healthy", {})


def test_a_slice_without_an_expected_value_is_never_an_alarm() -> None:
    observed = sliced(("origin=EWR", 0.76, 0.75), ("origin=JFK", 0.1, 0.75))
    del observed.expectation.slices["origin=JFK"]
    decided = rules.decide(use_case(), observed)
    assert decided.verdict == "healthy"
    assert decided.evidence.slices["origin=JFK"].expected is None


def test_the_evidence_of_a_column_is_all_it_rests_on_and_json() -> None:
    decided = decide(column(0.9), column(0, ratio=1.0, name="prediction"))
    assert decided.evidence.as_json()["drifted"]["x"] == {
        "why": "values",
        "told": "x told",
        "method": "wasserstein",
        "distance": 0.2,
        "reference": 0.1,
        "ratio": 2.0,
        "importance": 0.9,
    }
    assert decided.evidence.prediction_drift == 1.0
    json.dumps(decided.evidence.as_json(), allow_nan=False)


# --- Labels that come late, on real stores.


def day(use_case: UseCase, number: int) -> Partition:
    return use_case.partition(f"2024-01-{number:02}")


def arrive(use_case: UseCase, partition: Partition) -> None:
    ingest.ingest_partition(use_case, partition)
    compute.compute_features(use_case, partition)


def with_labels(use_case: UseCase, partition: Partition, share: float, *, worse_by: float = 0.0) -> None:
    """Let the first share of the partition's labels be known, and no other."""
    name = use_case.tables.examples
    rows = lake.read(name, partitions=[partition.key]).to_pandas()
    has_label = rows["event_timestamp"].rank(method="first") <= share * len(rows)
    truth = rows["meter"].str.removeprefix("meter-").astype(float) + worse_by
    rows["label"] = truth.where(has_label)
    lake.replace(name, partition.key, pa.Table.from_pandas(rows, preserve_index=False))


@pytest.fixture(scope="module")
def champion(project, mlflow_server, energy: UseCase) -> ledger.Entry:
    """A model of the first three days, and days 4 to 6 scored before any of their labels is known."""
    for number in range(1, 7):
        arrive(energy, day(energy, number))
        if number == 1:
            publish.publish_features(energy, day(energy, number))  # applies feature_repo/
        if number == 3:
            gate.finalize(energy, gate.evaluate(energy, train(energy, "first")))
        if number > 3:
            with_labels(energy, day(energy, number), 0.0)
            scoring.score(energy, day(energy, number))
    return ledger.champion(energy)


def rows_of(table: str, partition: Partition) -> list[dict[str, Any]]:
    records = lake.records(f"energy.{table}", between=(partition.key, partition.key))
    return sorted(records, key=lambda row: row["recorded_at"])


def test_labels_that_come_late_revise_a_verdict_by_a_new_row(energy, champion) -> None:
    fourth, fifth = day(energy, 4), day(energy, 5)
    first = monitor.monitor(energy, fourth)
    assert first.evidence.label_coverage == 0
    assert first.evidence.production is None
    assert not rows_of("metrics", fourth)
    assert revisions.revisit(energy, fifth) == [], "nothing grew"

    with_labels(energy, fourth, 0.5)
    (half,) = revisions.revisit(energy, fifth)
    assert half.evidence.label_coverage == 0.5
    assert half.evidence.production is None, "the first half of the labels is not like the rest"

    with_labels(energy, fourth, 1.0, worse_by=9.0)
    (whole,) = revisions.revisit(energy, fifth)
    assert (whole.verdict, whole.reason) == ("alarm", "performance")
    assert [row["labels"] for row in rows_of("verdicts", fourth)] == [0, 144, 288]
    assert {row["role"] for row in rows_of("metrics", fourth)} == {"champion", "first"}
    assert revisions.revisit(energy, fifth) == [], "judged once"
    assert len({row["report"] for row in rows_of("verdicts", fourth)}) == 3, "each keeps its own page"


def test_a_revised_alarm_asks_for_retraining_once(energy, champion) -> None:
    fifth, sixth = day(energy, 5), day(energy, 6)
    asking = revisions.revised_alarm(energy, fifth)
    assert asking is not None
    assert asking.evidence.partition == "2024-01-04"
    assert monitor.request_retraining(energy, fifth, asking, made_by="killed")
    assert monitor.request_retraining(energy, fifth, asking, made_by="killed"), "the same run may announce it again"
    assert revisions.revised_alarm(energy, sixth) is None
    assert [row["partition"] for row in retraining_requests.open_requests(energy)] == ["2024-01-05"]


def test_one_run_asks_once_though_two_verdicts_of_one_reason_ask(energy, champion) -> None:
    sixth = day(energy, 6)
    alone = energy.model_copy(update={"retraining": energy.retraining.model_copy(update={"cooldown": 0})})
    own, revised = ({"partition": f"2024-01-0{number}"} for number in (6, 5))
    assert retraining_requests.create(alone, sixth, "performance", own, made_by="run")
    assert retraining_requests.create(alone, sixth, "performance", own, made_by="run"), (
        "it was killed before its event went out"
    )
    assert not retraining_requests.create(alone, sixth, "performance", revised, made_by="run"), "one event is enough"


def test_corrected_labels_of_equal_number_revise_a_verdict(energy, champion) -> None:
    fifth, sixth = day(energy, 5), day(energy, 6)
    with_labels(energy, fifth, 1.0, worse_by=9.0)
    assert monitor.monitor(energy, fifth).verdict == "alarm"
    compute.compute_features(energy, fifth)
    (mended,) = revisions.revisit(energy, sixth)
    assert mended.verdict == "healthy"
    assert [row["verdict"] for row in rows_of("verdicts", fifth)] == ["alarm", "healthy"]
    assert len({row["report"] for row in rows_of("verdicts", fifth)}) == 2, "each keeps its own page"
    scored = [row["value"] for row in rows_of("metrics", fifth) if (row["role"], row["metric"]) == ("champion", "mae")]
    assert len(scored) == 2
    assert scored[1] < scored[0]
    assert revisions.revisit(energy, sixth) == []


def test_verdict_repeated_after_another_is_recorded_again(energy, champion) -> None:
    fifth = day(energy, 5)
    with_labels(energy, fifth, 1.0, worse_by=9.0)
    monitor.monitor(energy, fifth)
    monitor.monitor(energy, fifth)
    assert [row["verdict"] for row in rows_of("verdicts", fifth)] == ["alarm", "healthy", "alarm"]
    first, _, third = rows_of("verdicts", fifth)
    assert first["report"] == third["report"]


def test_an_alarm_that_only_lasted_is_not_a_revised_one(energy, champion, monkeypatch) -> None:
    fifth, sixth = day(energy, 5), day(energy, 6)
    monkeypatch.setattr(retraining_requests, "load_all", lambda use_case: [])
    assert revisions.revised_alarm(energy, sixth).evidence.partition == "2024-01-04", "the fifth began as an alarm"
    assert rows_of("verdicts", fifth)[-1]["verdict"] == "alarm"


def test_an_estimate_is_made_once_and_from_no_label(energy, champion) -> None:
    fourth = day(energy, 4)
    said = [VerdictEvidence.from_json(row["evidence"]) for row in rows_of("verdicts", fourth)]
    assert {each.production is None for each in said} == {True, False}
    made = said[0].estimate
    assert made is not None, said[0].estimate_left_out
    assert [each.estimate for each in said] == [made] * len(said)
    assert estimate._estimate(energy, fourth, champion.model_version, []).estimate == made, "labels are others by now"


def test_an_estimate_that_cannot_be_made_stops_nothing(energy, champion, monkeypatch) -> None:
    def load(*_: object) -> None:
        raise TypeError("pickled by another age")

    monkeypatch.setattr(estimate.model_loading, "load", load)
    monkeypatch.setattr(estimate, "_comparable", lambda *_: None)
    assert estimate.make(energy, day(energy, 4), 1).left_out == "TypeError: pickled by another age"
    off = energy.model_copy(update={"drift": energy.drift.model_copy(update={"estimate_record": None})})
    assert estimate.make(off, day(energy, 4), 1) == estimate.Made()


def test_a_value_that_cannot_be_computed_stops_nothing(energy, champion, monkeypatch) -> None:
    def worth(rows: pd.DataFrame) -> pd.Series:
        raise ValueError("meter_last is null")

    with_labels(energy, day(energy, 5), 1.0)
    valued = energy.model_copy(update={"value": Value(function="worth", columns=("meter_last",))})
    real = UseCase.module
    fails = SimpleNamespace(worth=worth)
    monkeypatch.setattr(UseCase, "module", lambda self, name: fails if name == "value" else real(self, name))
    measured = performance.measure(valued, day(energy, 5), champion.model_version)
    assert set(measured.champion) == {"rmse", "mae", "r2"}
    assert measured.first == measured.champion
    assert "ValueError: meter_last is null" in measured.value_left_out


def test_the_verdict_says_that_the_value_was_left_out() -> None:
    case, lived = use_case(), Performance(1000, 1000, {"roc_auc": 0.75}, value_left_out="it fails", uncertainty=0.01)
    observed = Observations(MARCH, CHAMPION, 1000, lived, [], {}, NOTHING_QUARANTINED)
    assert rules.decide(case, observed).evidence.value_left_out == "it fails"


def test_a_first_model_that_cannot_be_asked_is_left_out(energy, champion, monkeypatch) -> None:
    fifth, version = day(energy, 5), champion.model_version
    truth = labels.read_known(energy, fifth)
    measured, why = performance._first_model_metrics(energy, fifth, version, version, truth)
    assert "mae" in measured
    assert why == ""

    served = [name for name in fit.feature_columns(energy) if name != "meter_last"]
    monkeypatch.setattr(performance.repository, "feature_names", lambda service: served)
    again = performance._first_model_metrics(energy, fifth, version, version, truth)
    assert again == (measured, ""), "it was served then"

    monkeypatch.setattr(performance.model_loading, "inputs", lambda *_: ["meter_last", "long_gone"])
    none, why = performance._first_model_metrics(energy, fifth, version, version, truth)
    assert none == {}
    assert why == "v1: its inputs long_gone are no longer served"


def test_a_first_model_that_no_longer_loads_stops_nothing(energy, champion, monkeypatch) -> None:
    def load(*_: object) -> None:
        raise TypeError("pickled by another age")

    monkeypatch.setattr(performance.model_loading, "load", load)
    fifth = day(energy, 5)
    assert performance._first_model_metrics(energy, fifth, 1, 1, labels.read_known(energy, fifth)) == (
        {},
        "v1: TypeError: pickled by another age",
    )


def test_a_registry_out_of_reach_is_no_fault_of_the_first_model(energy, champion, monkeypatch) -> None:
    def load(*_: object) -> None:
        raise ServiceUnavailable("MLflow does not answer")

    monkeypatch.setattr(performance.model_loading, "load", load)
    fifth = day(energy, 5)
    with pytest.raises(ServiceUnavailable):
        performance._first_model_metrics(energy, fifth, 1, 1, labels.read_known(energy, fifth))


def test_the_verdict_says_that_the_first_model_was_left_out() -> None:
    case, lived = use_case(), Performance(1000, 1000, {"roc_auc": 0.75}, first_left_out="v1: gone", uncertainty=0.01)
    observed = Observations(MARCH, CHAMPION, 1000, lived, [], {}, NOTHING_QUARANTINED)
    assert rules.decide(case, observed).evidence.first_model_left_out == "v1: gone"


def test_sustained_drift_counts_rows_not_verdicts(energy, champion) -> None:
    quick = energy.model_copy(update={"drift": energy.drift.model_copy(update={"alarm": 0.0, "ratio": 1e-9})})
    verdict = monitor.monitor(quick, day(energy, 6))
    assert verdict.evidence.sustained["drift"] == 3
    assert verdict.reason == "drift"


def test_a_profile_of_an_earlier_version_can_be_compared(energy, champion) -> None:
    quantiles = pd.DataFrame({"meter_last": [float(n % 12) for n in range(4_000)], "prediction": 1.0})
    described = {"reference": {"meter_last": 0.1, "prediction": 0.1}, "importance": {"meter_last": 1.0}}
    files = {"profile.parquet": quantiles.to_parquet(), "profile.json": json.dumps(described).encode()}
    profile = drift.Profile.from_files(files)
    table = pa.Table.from_pandas(quantiles)
    same, little, far = (
        drift.ColumnCounts.of(profile, [table.set_column(0, "meter_last", pa.array(quantiles["meter_last"] + by))])
        for by in (0.0, 0.3, 3.0)
    )
    assert drift.score(drift.compare(energy, profile, day(energy, 4), same)) == 0
    assert drift.score(drift.compare(energy, profile, day(energy, 4), little)) == 0
    assert drift.score(drift.compare(energy, profile, day(energy, 4), far)) == 1


def test_a_profile_is_loaded_as_it_was_logged(energy, champion) -> None:
    profile = drift.Profile.load(energy, champion.model_run)
    assert set(profile.columns) == {"hour_sin", "hour_cos", "meter_last", "meter_mean_24h", "prediction"}
    assert profile.columns["prediction"].holdout_counts.sum() > 0
    assert sum(profile.importance.values()) == pytest.approx(1)
    hours = replace(profile, columns={"meter_last": profile.columns["meter_last"]}).blocks
    assert hours.length == timedelta(hours=1) / timedelta(microseconds=1)
