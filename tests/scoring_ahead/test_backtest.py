"""What predicting earlier would have cost, on a past partition."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from pipelines import run_features, run_loop_until

from perennial import lake
from perennial.errors import BadFeatures, UnknownVersion
from perennial.evaluation import metrics
from perennial.scoring_ahead.backtest import backtest
from perennial.use_case import UseCase

pytestmark = pytest.mark.usefixtures("project", "mlflow_server")
DAY, HOUR = "2024-01-05", timedelta(hours=1)


@pytest.fixture(scope="module")
def energy(project, mlflow_server, energy: UseCase) -> UseCase:
    run_loop_until(energy, DAY)
    run_features(energy, energy.partition("2024-01-06"))
    return energy


def test_no_lead_is_what_batch_scoring_predicts(energy) -> None:
    result = backtest(energy, energy.partition(DAY), ())
    (scored,) = result.leads
    rows = pl.DataFrame(lake.read("energy.predictions", partitions=[DAY])).join(
        pl.DataFrame(lake.read("energy.examples", partitions=[DAY])), on=energy.examples.key
    )
    expected = metrics.evaluate(energy, rows["label"].to_numpy(), rows["prediction"].to_numpy())
    assert (result.version, result.examples, scored.lead) == (1, 288, timedelta(0))
    assert scored.metrics == pytest.approx(expected)


def test_each_lead_sees_less(energy) -> None:
    result = backtest(energy, energy.partition(DAY), (6 * HOUR, 100 * HOUR, HOUR))
    assert [each.lead / HOUR for each in result.leads] == [0, 1, 6, 100]
    now, *_, never = result.leads
    assert now.not_known == 0
    # A hundred hours before the first five hours of the day nothing had been read yet.
    assert never.not_known == pytest.approx(5 / 24)
    assert never.metrics["rmse"] > 2 * now.metrics["rmse"]


def test_an_early_answer_uses_no_feature_known_later(energy) -> None:
    before = backtest(energy, energy.partition(DAY), (24 * HOUR,)).leads[1]
    stored = lake.read("energy.meter_history", partitions=[DAY])
    position = stored.column_names.index("meter_last")
    try:
        wrong = pa.array(np.full(stored.num_rows, 1e9))
        lake.replace("energy.meter_history", DAY, stored.set_column(position, "meter_last", wrong))
        assert backtest(energy, energy.partition(DAY), (24 * HOUR,)).leads[1] == before
    finally:
        lake.replace("energy.meter_history", DAY, stored)


def test_nothing_is_written(energy) -> None:
    tables = {name: lake.snapshot(".".join(name)) for name in lake.catalog().list_tables("energy")}
    backtest(energy, energy.partition(DAY), (HOUR,))
    assert {name: lake.snapshot(".".join(name)) for name in lake.catalog().list_tables("energy")} == tables


def test_what_was_never_scored_or_computed_is_named(energy) -> None:
    with pytest.raises(UnknownVersion, match="no champion at the start of partition '2024-01-01'"):
        backtest(energy, energy.partition("2024-01-01"), (HOUR,))
    with pytest.raises(BadFeatures, match="no example of partition '2024-01-09' with a known label"):
        backtest(energy, energy.partition("2024-01-09"), (HOUR,))
