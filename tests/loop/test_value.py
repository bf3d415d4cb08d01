"""The loop in money, on real stores: the gate, a refit, scoring, monitoring and what people read."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from pipelines import run_loop_until
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from perennial import Value, gate, lake, predict
from perennial.backtesting import policies, running
from perennial.evaluation import earnings, money, thresholds
from perennial.gate.model_card import facts, rendering
from perennial.monitoring import performance
from perennial.registry import ledger, mlflow_tags, tracking
from perennial.reporting import partition_status, terminal
from perennial.use_case import UseCase

pytestmark = pytest.mark.usefixtures("project", "mlflow_server")

#: Worth acting on from a probability of 0.3 on.
WORTH = Value(true_positive=70.0, false_positive=-30.0, per_prediction=-0.5, currency="EUR")


@pytest.fixture(scope="module")
def energy(energy: UseCase) -> UseCase:
    """Will a meter read much? Its gate decides in money, and refits what has passed."""
    examples, threshold = energy.module("transforms").examples, 5.0
    fields = {"metric": "value", "slice_tolerance": 30.0, "refit": True}
    binary = energy.model_copy(
        update={
            "task": "binary",
            "value": WORTH,
            "gate": energy.gate.model_copy(update=fields),
            "drift": energy.drift.model_copy(update={"performance_drop": 5.0}),
        }
    )
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(
            energy.module("transforms"),
            "examples",
            lambda readings: examples(readings).mutate(label=(readings.kwh > threshold).cast("int64")),
        )
        patched.setattr(
            energy.module("model"),
            "build",
            lambda params: make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression(C=params.alpha + 0.1)),
        )
        run_loop_until(binary, "2024-01-07")
        yield binary


def measured(energy: UseCase, day: str) -> dict[tuple[str, str], dict]:
    rows = sorted(lake.read("energy.metrics", partitions=[day]).to_pylist(), key=lambda row: row["recorded_at"])
    return {(row["role"], row["metric"]): row for row in rows}


def test_the_gate_decides_in_money_and_records_the_threshold(energy) -> None:
    first = gate.decision.from_evidence(ledger.promotions(energy)[0].evidence)
    assert first.metric == "value"
    assert first.improvement == pytest.approx(first.metrics["challenger"]["value"] - first.metrics["rival"]["value"])
    assert 0 < first.threshold < 1
    assert first.baseline in (0.0, 1.0)


def test_a_refit_acts_by_the_threshold_of_its_witness(energy) -> None:
    entry = ledger.promotions(energy)[0]
    refit, evaluated = entry.model_version, entry.evidence["evaluated"]
    tags = [tracking.training_run(energy, version).tags[mlflow_tags.THRESHOLD] for version in (refit, evaluated)]
    assert set(tags) == {str(entry.evidence["threshold"])}
    entries = ledger.entries(energy)
    assert {thresholds.recorded(energy, entries, each) for each in (refit, evaluated)} == {entry.evidence["threshold"]}


def test_scoring_writes_the_decision_of_each_version(energy) -> None:
    rows = lake.read("energy.predictions").to_pandas()
    entries = ledger.entries(energy)
    acting_from = rows["model_version"].map(lambda version: thresholds.recorded(energy, entries, version))
    assert (rows["decision"] == (rows["prediction"] >= acting_from)).all()
    assert rows["decision"].nunique() == 2


def test_the_monitor_measures_three_models_in_money(energy) -> None:
    rows, seen = lake.read("energy.predictions", partitions=["2024-01-04"]).to_pandas(), measured(energy, "2024-01-04")
    truth = lake.read("energy.examples", partitions=["2024-01-04"]).to_pandas().set_index(list(energy.examples.key))
    label = truth["label"].loc[pd.MultiIndex.from_frame(rows[list(energy.examples.key)])].to_numpy()
    worth = np.where(rows["decision"], np.where(label == 1, 70.0, -30.0), 0.0)
    assert seen["champion", "value"]["value"] == pytest.approx(worth.mean() - 0.5)
    acts = ledger.promotions(energy)[0].evidence["baseline"]
    assert seen["baseline", "value"]["value"] == pytest.approx(acts * np.where(label == 1, 70.0, -30.0).mean())
    assert ("baseline", "roc_auc") not in seen
    assert ("champion", "roc_auc") in seen


def test_live_value_is_by_the_recorded_threshold(energy) -> None:
    """Labels tell nothing about where to act: a version that was told to act on all does."""
    entry = ledger.champion_at(energy, energy.partition("2024-01-04").start)
    before = performance.measure(energy, energy.partition("2024-01-04"), entry.model_version)
    recorded = thresholds.recorded(energy, ledger.entries(energy), entry.model_version)
    counted, labelled = performance.judged(energy, energy.partition("2024-01-04"), entry.model_version)
    frame = labelled.to_pandas()
    worth = money.of_rows(energy, frame, frame["prediction"].to_numpy(), recorded)
    assert before.champion["value"] == pytest.approx(worth.mean())
    dearer = energy.model_copy(update={"value": WORTH.model_copy(update={"threshold": 0.0})})
    assert thresholds.recorded(dearer, ledger.entries(energy), entry.model_version) == recorded
    assert counted.labelled == len(frame)


def test_a_function_is_given_the_columns_of_predictions(energy, monkeypatch) -> None:
    def worth(rows: pd.DataFrame) -> pd.Series:
        return rows["decision"] * np.where(rows["label"] == 1, 70.0, -30.0) * (1 + rows["hour_cos"])

    module = type("value", (), {"worth": staticmethod(worth)})
    declared = energy.model_copy(update={"value": Value(function="worth", columns=("hour_cos",))})
    monkeypatch.setattr(UseCase, "module", lambda self, name: module)
    day = energy.partition("2024-01-04")
    version = ledger.champion_at(energy, day.start).model_version
    seen = performance.measure(declared, day, version).champion["value"]
    rows = lake.read("energy.predictions", partitions=[day.key]).to_pandas()
    truth = lake.read("energy.examples", partitions=[day.key]).to_pandas().set_index(list(energy.examples.key))
    label = truth["label"].loc[pd.MultiIndex.from_frame(rows[list(energy.examples.key)])].to_numpy()
    assert seen == pytest.approx(float(worth(rows.assign(label=label)).mean()))


def test_status_says_first_what_it_was_worth(energy) -> None:
    state = partition_status.status(energy)
    rows = [measured(energy, one.partition) for one in state.partitions if one.metric is not None]
    total = sum(seen["champion", "value"]["value"] * seen["champion", "value"]["labelled"] for seen in rows)
    over = sum(
        (seen["champion", "value"]["value"] - seen["first", "value"]["value"]) * seen["first", "value"]["labelled"]
        for seen in rows
    )
    earned = state.earnings
    assert (earned.total, earned.over_first) == pytest.approx((total, over))
    assert [each.month for each in earned.months] == ["2024-01"]
    line = terminal.earnings_lines(state)[0]
    assert line.startswith(f"Value      2024-01: {earned.written(total)}, ")
    assert "over the baseline model" in line
    assert state.as_json()["earnings"]["months"][0]["partitions"] == len(rows)


def test_the_card_says_first_what_it_was_worth(energy) -> None:
    version = ledger.champion_at(energy, energy.partition("2024-01-04").start).model_version
    card = facts.gather(energy, version)
    written = rendering.markdown(card)
    assert written.index("## Value") < written.index("## Model details")
    assert card.earnings == earnings.of(energy, lake.read("energy.metrics").to_pylist(), version)
    assert card.earnings.written(card.earnings.total) in written.replace("\\", "")
    assert "It acts from a probability of" in written


def test_a_server_answers_the_decision(energy, monkeypatch) -> None:
    monkeypatch.setattr("perennial.discovery.load", lambda name: energy)
    answers = [
        predict("energy", {"site": f"site-{n}", "meter": "a", "hour_sin": 0.0, "hour_cos": cosine}).predictions[0]
        for n in (1, 2)
        for cosine in (-1.0, 1.0)
    ]
    threshold = thresholds.recorded(energy, ledger.entries(energy), ledger.champion(energy).model_version)
    assert [each.decision for each in answers] == [each.prediction >= threshold for each in answers]


def test_a_backtest_compares_policies_in_money(energy) -> None:
    report = running.run(energy, energy.first, energy.partition("2024-01-07"), [policies.declared(energy)], jobs=1)
    means = {each.name: each.mean for each in report.policies}
    assert report.metric == "value"
    assert set(means) == {"declared", "never", "always", "baseline"}
    assert means["always"] > means["baseline"]
