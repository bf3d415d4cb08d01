"""The loop with prediction intervals, on real stores: the gate, a refit, scoring, an answer, monitoring, an alarm."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pipelines import run_loop_until
from sklearn.ensemble import VotingRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import QuantileRegressor, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from perennial import PredictionInterval, lake, predict, scoring
from perennial.errors import BadFeatures
from perennial.evaluation import recorded_intervals
from perennial.feature_store import repository
from perennial.gate.decision import GateDecision, from_evidence
from perennial.gate.model_card import facts, rendering
from perennial.monitoring import live_intervals
from perennial.monitoring.verdict import VerdictEvidence
from perennial.registry import ledger, model_loading
from perennial.reporting import partition_status, terminal
from perennial.scoring_ahead import predicting
from perennial.use_case import UseCase

pytestmark = pytest.mark.usefixtures("project", "mlflow_server")


def build(params):
    """Quantiles beside the value, by estimators of scikit-learn only."""
    named = {"lower": QuantileRegressor(quantile=0.1, alpha=0), "value": Ridge(alpha=params.alpha)}
    named["upper"] = QuantileRegressor(quantile=0.9, alpha=0)
    return make_pipeline(SimpleImputer(), StandardScaler(), VotingRegressor([*named.items()], weights=[0, 1, 0]))


@pytest.fixture(scope="module")
def energy(energy: UseCase) -> UseCase:
    """Its gate refits what has passed; from 2024-01-06 on the world has moved."""
    declared = energy.model_copy(
        update={
            "interval": PredictionInterval(coverage=0.8),
            "gate": energy.gate.model_copy(update={"refit": True, "slices": ()}),
        }
    )
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(energy.module("model"), "build", build)
        run_loop_until(declared, "2024-01-06")
        yield declared


def decisions(energy: UseCase) -> list[GateDecision]:
    return [from_evidence(entry.evidence) for entry in ledger.entries(energy)]


def predictions(day: str) -> pd.DataFrame:
    return lake.read("energy.predictions", partitions=[day]).to_pandas()


def evidence_of(day: str) -> VerdictEvidence:
    rows = lake.read("energy.verdicts", partitions=[day]).to_pylist()
    return VerdictEvidence.from_json(max(rows, key=lambda row: row["recorded_at"])["evidence"])


def test_the_gate_records_a_margin_and_judges_the_coverage(energy) -> None:
    first = decisions(energy)[0]
    kept, rule = first.prediction_interval, next(each for each in first.rules if each.name == "interval coverage")
    assert (kept.coverage, kept.rows) == (0.8, first.rows)
    # Beyond the model's own quantiles, which are nearly right.
    assert abs(kept.margin) < 0.1
    assert kept.bounds[0] <= kept.reached <= kept.bounds[1]
    assert (rule.value, rule.threshold, rule.passed) == (kept.reached, pytest.approx(0.78), True)
    assert first.metrics["challenger"]["interval_width"] == kept.width
    assert first.champion_prediction_interval is None


def test_a_refit_inherits_the_margin(energy) -> None:
    entries, first = ledger.entries(energy), decisions(energy)[0]
    assert first.evaluated != first.challenger
    for version in (first.challenger, first.evaluated):
        known = recorded_intervals.recorded(energy, entries, version, "2024-01-05")
        assert known.margin == first.prediction_interval.margin


def test_scoring_writes_bounds_by_the_models_quantiles(energy) -> None:
    rows, first = predictions("2024-01-04"), decisions(energy)[0]
    low, high = model_loading.load(energy, first.challenger).quantiles(rows).T
    margin = first.prediction_interval.margin
    assert rows["lower"].tolist() == pytest.approx(list(np.minimum(low - margin, rows["prediction"])))
    assert rows["upper"].tolist() == pytest.approx(list(np.maximum(high + margin, rows["prediction"])))


def test_a_steady_world_is_covered_as_declared(energy) -> None:
    for day in ("2024-01-04", "2024-01-05"):
        its = evidence_of(day).interval
        assert (its.rows, its.declared, its.fell) == (288, 0.8, False)
        assert its.reached == pytest.approx(0.8, abs=0.05)
        assert its.width == pytest.approx(its.expected_width, rel=0.1)


def test_a_moved_world_is_an_alarm_of_the_intervals_too(energy) -> None:
    evidence = evidence_of("2024-01-06")
    assert evidence.alarms[:2] == ("performance", "interval-coverage")
    assert evidence.interval.reached < 0.5
    assert evidence.interval.fell


def test_a_rejected_challenger_renews_the_champions_margin(energy) -> None:
    """The newer model is no better, so the champion stays, with intervals as wide as the newer data need."""
    first, second = decisions(energy)
    assert not second.promote
    before = recorded_intervals.recorded(energy, ledger.entries(energy), first.challenger, "2024-01-06")
    after = recorded_intervals.recorded(energy, ledger.entries(energy), first.challenger, "2024-01-07")
    assert before.margin == first.prediction_interval.margin
    assert after.margin == second.champion_prediction_interval.margin
    assert after.margin > before.margin + 0.5
    alarm = partition_status.status(energy).partitions[-1].alarm
    assert not alarm.is_open
    renewed = second.champion_prediction_interval
    assert f"its prediction intervals get a margin chosen on {renewed.rows} rows up to" in alarm.explanation
    # What is expected of it from then on is by that margin.
    assert renewed.reached == pytest.approx(0.8, abs=0.1)
    assert second.metrics["rival"]["interval_width"] == renewed.width


def test_an_answer_has_the_newest_bounds(energy, monkeypatch) -> None:
    monkeypatch.setattr("perennial.discovery.load", lambda name: energy)
    asked = {"site": "site-1", "meter": "meter-1", "hour_sin": 0.0, "hour_cos": 1.0}
    (answered,) = predict("energy", asked, features=True).predictions
    version = decisions(energy)[0].challenger
    frame = pd.DataFrame([answered.features]).astype(float)
    low, high = model_loading.load(energy, version).quantiles(frame)[0]
    margin = recorded_intervals.recorded(energy, ledger.entries(energy), version).margin
    assert (answered.lower, answered.upper) == pytest.approx((low - margin, high + margin))


def test_a_prediction_ahead_has_the_bounds_that_are_known_then(energy) -> None:
    rows, entry = predictions("2024-01-06"), ledger.champion(energy)
    version = model_loading.load(energy, entry.model_version)
    for day in ("2024-01-06", "2024-01-07"):
        now = energy.partition(day).start
        made = predicting._bounds(energy, entry, now, version, rows, rows["prediction"].to_numpy())
        known = recorded_intervals.recorded(energy, ledger.entries(energy), entry.model_version, day)
        low, high = recorded_intervals.bounds_of(energy, version, known, rows, rows["prediction"].to_numpy())
        assert made["prediction_lower"].to_numpy().tolist() == low.tolist()
        assert made["prediction_upper"].to_numpy().tolist() == high.tolist()


def test_without_a_margin_bounds_are_null(energy, monkeypatch) -> None:
    monkeypatch.setattr(ledger, "entries", lambda use_case: [])
    rows, entry = predictions("2024-01-06"), SimpleNamespace(model_version=1)
    made = scoring._bounds(energy, energy.partition("2024-01-06"), entry, None, rows, rows["prediction"].to_numpy())
    assert {name: column.null_count for name, column in made.items()} == {"lower": len(rows), "upper": len(rows)}


def test_scoring_refuses_a_feature_that_a_bound_would_overwrite(energy, monkeypatch) -> None:
    rows = pa.table({"lower": [1.0]})
    monkeypatch.setattr(repository, "historical_features", lambda *_, **__: rows)
    with pytest.raises(BadFeatures, match="have a column 'lower'"):
        scoring._backfilled(energy, energy.partition("2024-01-06"), ledger.champion(energy), rows)


def test_the_metrics_table_has_them_of_the_champion(energy) -> None:
    rows = lake.read("energy.metrics", partitions=["2024-01-05"]).to_pylist()
    seen = {row["metric"]: row["value"] for row in rows if row["role"] == "champion"}
    covered = predictions("2024-01-05").merge(
        lake.read("energy.examples", partitions=["2024-01-05"]).to_pandas()[[*energy.examples.key, "label"]],
        on=list(energy.examples.key),
    )
    within = covered["label"].between(covered["lower"], covered["upper"])
    assert seen["interval_coverage"] == pytest.approx(within.mean())
    assert seen["interval_width"] == pytest.approx((covered["upper"] - covered["lower"]).mean())
    assert live_intervals.is_below(0.8, seen["interval_coverage"], 0.0, 0.02) is False


def test_status_says_how_many_labels_were_within(energy) -> None:
    state = partition_status.status(energy)
    its = next(one.interval for one in state.partitions if one.partition == "2024-01-05")
    assert (its.rows, its.declared, its.reached) == (288, 0.8, evidence_of("2024-01-05").interval.reached)
    newest = state.partitions[-1].interval
    (line,) = terminal.interval_lines(state)
    assert line == f"Intervals  2024-01-06: around {newest.reached:.1%} of 288 labels, declared 0.8; mean width" + (
        f" {newest.width:.4g}"
    )
    assert state.as_json()["partitions"][0]["interval"] is None


def test_the_card_says_what_the_intervals_reach(energy) -> None:
    card = facts.gather(energy, decisions(energy)[0].challenger)
    written = rendering.markdown(card)
    assert "## Prediction intervals" in written
    assert f"{100 * decisions(energy)[0].prediction_interval.reached:.3g} %" in written


def test_predictions_with_and_without_bounds_are_kept_in_one_table(energy, monkeypatch) -> None:
    day = energy.partition("2024-01-06")
    examples = lake.read("energy.examples", partitions=[day.key]).drop_columns(["label", "label_timestamp"])
    for meter, declared in (("without", energy.model_copy(update={"interval": None})), ("with", energy)):
        one = examples.slice(0, 1)
        place = one.column_names.index("meter")
        one = one.set_column(place, "meter", pa.array([meter], one.schema.field("meter").type))
        monkeypatch.setattr(scoring, "_pending", lambda *_, only=one: only)
        assert scoring.score(declared, day)["predictions"] == 1
    rows = predictions(day.key).set_index("meter")
    assert rows.loc["without", ["lower", "upper"]].isna().all()
    assert rows.loc["with", "lower"] < rows.loc["with", "prediction"] < rows.loc["with", "upper"]
