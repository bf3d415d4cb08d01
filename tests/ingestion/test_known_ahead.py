"""Examples to come: made by the use case's own transform, from rows of which no outcome is left."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from examples import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pipelines import run_features

from perennial import RawTable, lake
from perennial.errors import BadBatch, BadFeatures
from perennial.ingestion import known_ahead
from perennial.use_case import UseCase

pytestmark = pytest.mark.usefixtures("project")
DAY = "2024-01-01"
NOW = datetime(2024, 1, 1, 22, 30, tzinfo=UTC)


@pytest.fixture(scope="module")
def energy(project, energy: UseCase) -> UseCase:
    run_features(energy, energy.partition(DAY))
    return energy


@pytest.fixture
def source(energy, monkeypatch):
    """Replace what the source sends by a change of it."""
    module = energy.module("source")
    original = module.readings

    def change(how) -> None:
        monkeypatch.setattr(module, "readings", lambda partition: how(original(partition)))

    return change


def test_they_are_those_of_the_lake_as_far_as_known(energy) -> None:
    stored = lake.read("energy.examples", partitions=[DAY])
    early = known_ahead.examples_without_outcome(energy, energy.partition(DAY))
    order = [(name, "ascending") for name in energy.examples.key]
    known = [name for name in early.column_names if name not in ("label", "label_timestamp")]
    assert early.sort_by(order).select(known).equals(stored.sort_by(order).select(known))
    assert early["label"].null_count == early.num_rows == 288


def test_they_reach_into_the_partitions_that_begin_soon(energy) -> None:
    rows = known_ahead.examples_to_come(energy, NOW)
    moments = rows["event_timestamp"].to_pylist()
    assert (min(moments), max(moments)) == (NOW + timedelta(minutes=30), datetime(2024, 1, 2, 23, tzinfo=UTC))
    assert rows.num_rows == 12 * 25


def test_they_have_the_types_of_the_lake_and_no_label(energy) -> None:
    stored = lake.read("energy.examples", partitions=[DAY]).drop_columns(["partition", "label", "label_timestamp"])
    assert known_ahead.examples_to_come(energy, NOW).schema == stored.schema


def test_nothing_is_asked_beyond_the_end_or_before_the_start(energy, source) -> None:
    ended = energy.model_copy(update={"end": "2024-01-02"})
    assert known_ahead.examples_to_come(ended, NOW).num_rows == 12
    late = energy.model_copy(update={"start": "2024-01-02"})
    assert known_ahead.examples_to_come(late, NOW).num_rows == 12 * 24


@settings(max_examples=examples(15), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32 - 1), nulls=st.sampled_from([0.0, 0.5, 1.0]))
def test_no_outcome_in_the_source_changes_them(energy, source, seed: int, nulls: float) -> None:
    before = known_ahead.examples_to_come(energy, NOW)
    random = np.random.default_rng(seed)

    def other_outcomes(rows: pa.Table) -> pa.Table:
        values = random.normal(0, 1e6, rows.num_rows)
        outcome = pa.array(values, mask=random.random(rows.num_rows) < nulls)
        return rows.set_column(rows.column_names.index("kwh"), "kwh", outcome)

    source(other_outcomes)
    assert known_ahead.examples_to_come(energy, NOW).equals(before)


def test_a_source_that_knows_no_outcome_yet_is_enough(energy, source) -> None:
    before = known_ahead.examples_to_come(energy, NOW)
    source(lambda rows: rows.drop_columns(["kwh"]))
    assert known_ahead.examples_to_come(energy, NOW).equals(before)


def test_a_faulty_row_is_left_out(energy, source) -> None:
    before = known_ahead.examples_to_come(energy, NOW)

    def without_a_site(rows: pa.Table) -> pa.Table:
        sites = pc.if_else(pc.equal(rows["meter"], "meter-3"), None, rows["site"])
        return rows.set_column(0, "site", sites)

    source(without_a_site)
    rows = known_ahead.examples_to_come(energy, NOW)
    assert rows.num_rows == before.num_rows * 11 // 12
    assert "meter-3" not in rows["meter"].to_pylist()


def test_a_column_that_was_to_be_known_is_missed(energy, source) -> None:
    source(lambda rows: rows.drop_columns(["site"]))
    with pytest.raises(BadBatch, match=r"no column 'site', which is declared to be known ahead"):
        known_ahead.examples_to_come(energy, NOW)


def test_a_value_of_another_type_names_the_column(energy, source) -> None:
    source(lambda rows: rows.set_column(0, "site", pa.array([1] * rows.num_rows)))
    with pytest.raises(BadFeatures, match=r"readings, partition '2024-01-01': column 'site' is int64, and string"):
        known_ahead.examples_to_come(energy, NOW)


def test_an_outcome_declared_as_known_is_refused(energy) -> None:
    (readings,) = energy.raw
    all_known = readings.model_copy(update={"known_ahead": (*readings.key, "kwh")})
    with pytest.raises(BadFeatures, match=r"288 examples a label, although no outcome is known"):
        known_ahead.examples_to_come(energy.model_copy(update={"raw": (all_known,)}), NOW)


def test_before_the_first_features_there_are_no_types(energy) -> None:
    table = RawTable(name="readings", key=energy.raw[0].key, known_ahead=energy.raw[0].key)
    other = energy.model_copy(update={"raw": (table,)}).model_copy(update={"name": "energy2"})
    with pytest.raises(BadFeatures, match="the lake holds no examples"):
        known_ahead.examples_to_come(other, NOW)
