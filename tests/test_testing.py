"""What use cases' own tests are given does what the pipelines do."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.linear_model import LogisticRegression

from perennial import testing
from perennial.errors import BadBatch, UnknownUseCase

FLIGHTS = testing.use_case("flights")


def test_an_unknown_use_case_is_named() -> None:
    with pytest.raises(UnknownUseCase, match="flihgts"):
        testing.use_case("flihgts")


def test_rows_get_the_types_of_the_lake() -> None:
    rows = pa.table({"at": pa.array([datetime(2013, 1, 1, tzinfo=UTC)], pa.timestamp("ns", "UTC"))})
    assert testing.lake_types(rows).schema.field("at").type == pa.timestamp("us", "UTC")


def test_a_binary_use_case_predicts_probabilities() -> None:
    rows, label = pd.DataFrame({"x": [0.0, 1.0, 2.0, 3.0]}), [0, 0, 1, 1]
    model = LogisticRegression().fit(rows, label)
    predicted = testing.predict(FLIGHTS, model, rows)
    assert np.array_equal(predicted, model.predict_proba(rows)[:, 1])


def test_types_of_the_use_case_are_trusted() -> None:
    assert set(FLIGHTS.trusted_types) < testing.trusted_types(FLIGHTS)


def test_a_batch_is_split_or_rejected_as_a_whole() -> None:
    partition = FLIGHTS.partition("2013-01")
    table = FLIGHTS.raw_table("weather")
    rows = FLIGHTS.module("source").weather(partition).slice(0, table.min_rows - 1)
    split = testing.split_batch(FLIGHTS, "weather", rows, partition)
    assert split.num_rows == rows.num_rows
    assert len(split.reasons) == split.quarantined.num_rows
    with pytest.raises(BadBatch, match="weather"):
        testing.validate_batch(FLIGHTS, "weather", rows, partition)
