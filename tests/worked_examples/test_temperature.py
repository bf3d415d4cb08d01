"""The worked example of a forecast, through the pipelines on real weather."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from copied_examples import copied
from pipelines import decide, run_features, run_features_until

from perennial import gate, lake, scoring
from perennial.monitoring import monitor
from perennial.monitoring.verdict import Verdict
from perennial.training import planning
from perennial.use_case import UseCase


@pytest.fixture(scope="module")
def temperature(home: Path, mlflow_server: str) -> Iterator[UseCase]:
    """As a user has it who copied the example into a project; four months, and a model of them."""
    with copied("temperature", home) as use_case:
        run_features_until(use_case, "2013-04")
        yield use_case


@pytest.fixture(scope="module")
def decision(temperature: UseCase) -> gate.GateDecision:
    return decide(temperature, "first")


def test_a_row_sees_what_was_known_its_horizon_before(temperature) -> None:
    plan = planning.plan_training(temperature, None, {})
    rows = pl.DataFrame(planning.build_training_set(temperature, plan).table)
    moment = (
        pl.col("observed_at").dt.replace_time_zone("UTC")
        if rows["observed_at"].dtype.time_zone is None
        else "observed_at"
    )
    late = rows.with_columns(known=moment - pl.col("event_timestamp"))
    for name, hours in (("1h", 1), ("6h", 6), ("24h", 24)):
        assert late.filter(horizon=name)["known"].unique().to_list() == [timedelta(hours=hours)]
    observed = rows.filter(horizon="1h").select("station", pl.col("observed_at").alias("at"), truth="label")
    # What is known a horizon ahead is the hour that began an hour before that: the newest one that has ended.
    seen = rows.with_columns(at=pl.col("event_timestamp") - timedelta(hours=1)).join(observed, on=["station", "at"])
    assert seen.height > 1_000
    assert seen.filter(pl.col("temp_last").is_not_null(), pl.col("temp_last") != pl.col("truth")).is_empty()


def test_the_first_model_beats_no_change(temperature, decision) -> None:
    assert decision.promote, decision.reason
    assert "temp_last" in decision.reason
    assert decision.interval[0] > 0


def test_the_gate_judges_each_horizon(temperature, decision) -> None:
    errors = {name: each.challenger for name, each in decision.slices.items()}
    assert list(errors) == ["horizon=1h", "horizon=24h", "horizon=6h"]
    assert errors["horizon=1h"] < errors["horizon=6h"] < errors["horizon=24h"]


def test_each_horizon_has_a_margin_of_its_own(decision) -> None:
    its = decision.prediction_interval
    assert its.margins["1.0"] < its.margins["6.0"] < its.margins["24.0"]
    assert its.reached == pytest.approx(0.8, abs=0.05)


@pytest.fixture(scope="module")
def may(temperature: UseCase, decision: gate.GateDecision) -> Verdict:
    """The month after the model's data, scored and monitored."""
    partition = temperature.partition("2013-05")
    run_features(temperature, partition)
    scoring.score(temperature, partition)
    return monitor.monitor(temperature, partition)


def test_each_forecast_of_may_has_an_interval(temperature, may, decision) -> None:
    rows = pl.DataFrame(lake.read("temperature.predictions", partitions=["2013-05"]))
    for hours, margin in decision.prediction_interval.margins.items():
        its = rows.filter(pl.col("horizon_hours") == float(hours))
        assert (its["prediction"] - its["lower"]).to_numpy() == pytest.approx(margin)
        assert (its["upper"] - its["prediction"]).to_numpy() == pytest.approx(margin)
    key = list(temperature.examples.key)
    truth = pl.DataFrame(lake.read("temperature.examples", partitions=["2013-05"])).select(*key, "label")
    within = rows.join(truth.drop_nulls(), on=key).with_columns(within=pl.col("label").is_between("lower", "upper"))
    assert may.evidence.interval.reached == pytest.approx(within["within"].mean())
    by_horizon = dict(within.group_by("horizon").agg(pl.col("within").mean()).iter_rows())
    assert max(by_horizon.values()) - min(by_horizon.values()) < 0.2, by_horizon


def test_each_horizon_is_monitored(may) -> None:
    assert set(may.evidence.slices) == {"horizon=1h", "horizon=6h", "horizon=24h"}
    predictions = pl.DataFrame(lake.read("temperature.predictions", partitions=["2013-05"]))
    assert predictions["horizon"].value_counts()["count"].n_unique() == 1
