"""The model learns, repeats itself, survives a safe file format, and takes whatever serving sends it."""

from __future__ import annotations

from collections.abc import Callable

import ibis
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import skops.io
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import Pipeline

from perennial import UseCase
from use_cases.flights import transforms
from use_cases.flights.model import build

Compute = Callable[[ibis.Table], pl.DataFrame]

VIEWS = {"carrier_lateness": "carrier", "origin_lateness": "origin", "origin_departures": "origin"}


@pytest.fixture(scope="module")
def rows(computed: Compute, january_flights: pa.Table) -> pd.DataFrame:
    """January's flights with features as of the moment of prediction, in order of time."""
    flights = ibis.memtable(january_flights)
    frame = computed(transforms.examples(flights)).sort("event_timestamp", "flight_id")
    for name, key in VIEWS.items():
        features = computed(getattr(transforms, name)(flights)).sort("event_timestamp")
        frame = frame.join_asof(features, on="event_timestamp", by=key, check_sortedness=False)
    return frame.filter(pl.col("label").is_not_null()).to_pandas()


@pytest.fixture(scope="module")
def columns(flights: UseCase, rows: pd.DataFrame) -> list[str]:
    features = [name for name in rows if name.split("_")[0] in ("carrier", "origin", "departures") and "_" in name]
    return [*flights.examples.request_features, *features]


@pytest.fixture(scope="module")
def model(flights: UseCase, rows: pd.DataFrame, columns: list[str]) -> Pipeline:
    fit = rows[:18_000]
    return build(flights.params()).fit(fit[columns], fit["label"])


def test_it_knows_more_than_nothing(model: Pipeline, rows: pd.DataFrame, columns: list[str]) -> None:
    later = rows[18_000:]
    assert roc_auc_score(later["label"], model.predict_proba(later[columns])[:, 1]) > 0.64


def test_later_lateness_at_the_origin_raises_the_probability(
    model: Pipeline, rows: pd.DataFrame, columns: list[str]
) -> None:
    later = rows[18_000:][columns]
    calm = later.assign(departures_late_rate_2h=0.05, departures_mean_delay_2h=0.0)
    jam = later.assign(departures_late_rate_2h=0.7, departures_mean_delay_2h=60.0)
    assert (model.predict_proba(jam)[:, 1] - model.predict_proba(calm)[:, 1]).mean() > 0.05


def test_the_same_seed_gives_the_same_model(
    flights: UseCase, model: Pipeline, rows: pd.DataFrame, columns: list[str]
) -> None:
    again = build(flights.params()).fit(rows[:18_000][columns], rows[:18_000]["label"])
    assert np.array_equal(again.predict_proba(rows[columns]), model.predict_proba(rows[columns]))


def test_it_loads_with_the_declared_types_only(
    flights: UseCase, model: Pipeline, rows: pd.DataFrame, columns: list[str]
) -> None:
    stored = skops.io.dumps(model)
    assert set(skops.io.get_untrusted_types(data=stored)) == set(flights.trusted_types)
    loaded = skops.io.loads(stored, trusted=list(flights.trusted_types))
    assert np.array_equal(loaded.predict_proba(rows[columns]), model.predict_proba(rows[columns]))


def test_unknown_and_missing_values_still_get_a_probability(
    model: Pipeline, rows: pd.DataFrame, columns: list[str]
) -> None:
    strange = rows[columns].head(3).assign(carrier=["??", None, "UA"], origin_late_rate_1d=np.nan, distance=1000.0)
    probability = model.predict_proba(strange)[:, 1]
    assert np.isfinite(probability).all()
    assert ((probability > 0) & (probability < 1)).all()


def test_params_reach_the_estimator(flights: UseCase) -> None:
    params = flights.params(max_iter=17, learning_rate=0.2, max_leaf_nodes=7, seed=5)
    boost = build(params)[-1]
    assert (boost.max_iter, boost.learning_rate, boost.max_leaf_nodes, boost.random_state) == (17, 0.2, 7, 5)
