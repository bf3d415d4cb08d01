"""Bad input gets a clear error and changes nothing; good input replaces exactly its partition."""

from __future__ import annotations

import json
from datetime import timedelta

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from perennial import lake
from perennial.errors import BadBatch, BadFeatures
from perennial.ingestion import compute, ingest
from perennial.use_case import UseCase

pytestmark = pytest.mark.usefixtures("project")
DAY, NEXT = "2024-01-20", "2024-01-21"


@pytest.fixture
def energy(project, energy: UseCase) -> UseCase:
    return energy.model_copy(update={"start": DAY})


@pytest.fixture
def source(energy, monkeypatch):
    """Replace what the source sends by a change of it."""
    module = energy.module("source")
    original = module.readings

    def change(how) -> None:
        monkeypatch.setattr(module, "readings", lambda partition: how(original(partition)))

    return change


def raw(partition: str = DAY) -> pa.Table:
    return lake.read("energy.readings", partitions=[partition])


def test_a_partition_is_replaced_as_a_whole(energy, source) -> None:
    ingest.ingest_partition(energy, energy.partition(DAY))
    source(lambda rows: rows.slice(0, 200))
    counts = ingest.ingest_partition(energy, energy.partition(DAY))
    assert {name: counts[name] for name in ("rows", "quarantined", "released")} == {
        "rows": 200,
        "quarantined": 0,
        "released": 0,
    }
    assert raw().num_rows == 200


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows.slice(0, 0), "0 rows arrived, at least 100"),
        (lambda rows: rows.slice(0, 99), "99 rows arrived"),
        (lambda rows: rows.drop_columns(["kwh"]), "no column 'kwh'"),
        (lambda rows: rows.rename_columns(["site", "meter", "read_at", "kwhs"]), r"'kwh' \(renamed to 'kwhs'\?\)"),
        (lambda rows: rows.set_column(3, "kwh", pc.cast(rows["kwh"], pa.string())), "kwh"),
        (lambda rows: pa.concat_tables([rows, rows]), "may be quarantined"),
        (lambda rows: 1 / 0, r"readings\(\) in include/use_cases/energy/source.py raised ZeroDivisionError"),
        (lambda rows: rows.to_pylist(), "returned list"),
    ],
    ids=["empty", "truncated", "missing", "renamed", "wrong type", "duplicated", "raising", "no table"],
)
def test_a_bad_batch_says_what_is_wrong_and_changes_nothing(energy, source, change, message: str) -> None:
    ingest.ingest_partition(energy, energy.partition(DAY))
    before = lake.snapshot("energy.readings")
    source(change)
    with pytest.raises(Exception, match=message) as caught:
        ingest.ingest_partition(energy, energy.partition(DAY))
    assert "energy" in str(caught.value)
    assert "Fix:" in str(caught.value)
    assert lake.snapshot("energy.readings") == before


def test_rows_of_another_partition_are_quarantined_whole(energy, source) -> None:
    def one_late(rows: pa.Table) -> pa.Table:
        first = rows.slice(0, 1)
        moved = pc.add(first["read_at"], pa.scalar(timedelta(days=1)))
        return pa.concat_tables([rows, first.set_column(2, "read_at", moved)])

    source(one_late)
    assert ingest.ingest_partition(energy, energy.partition(DAY))["quarantined"] == 1
    (row,) = lake.read("energy.quarantine", partitions=[DAY]).to_pylist()
    assert "read_at" in row["reasons"]
    assert json.loads(row["row"])["meter"] == "meter-0"


def test_features_need_the_partitions_they_look_back_into(energy) -> None:
    ingest.ingest_partition(energy, energy.partition("2024-01-29"))
    with pytest.raises(BadFeatures, match=r"never ingested for 2024-01-27, 2024-01-28(.|\n)*features for 2024-01-27"):
        compute.compute_features(energy, energy.partition("2024-01-29"))


def test_features_look_back_but_belong_to_their_own_partition(energy) -> None:
    for key in (DAY, NEXT):
        ingest.ingest_partition(energy, energy.partition(key))
        compute.compute_features(energy, energy.partition(key))
    rows = lake.read("energy.meter_history", partitions=[NEXT])
    partition = energy.partition(NEXT)
    assert pc.min(rows["event_timestamp"]).as_py() == partition.start
    assert pc.max(rows["event_timestamp"]).as_py() < partition.end


def test_a_raising_transform_is_named(energy, monkeypatch) -> None:
    ingest.ingest_partition(energy, energy.partition(DAY))
    monkeypatch.setattr(energy.module("transforms"), "meter_history", lambda readings: readings.nowhere)
    with pytest.raises(BadFeatures, match=r"transforms.py, meter_history\(\) raised .*nowhere"):
        compute.compute_features(energy, energy.partition(DAY))


def test_a_label_older_than_its_prediction_is_a_leak(energy, monkeypatch) -> None:
    module = energy.module("transforms")
    original = module.examples
    monkeypatch.setattr(
        module, "examples", lambda readings: original(readings).mutate(label_timestamp=readings.read_at.truncate("D"))
    )
    ingest.ingest_partition(energy, energy.partition(DAY))
    with pytest.raises(BadFeatures, match="the label leaks"):
        compute.compute_features(energy, energy.partition(DAY))


def test_a_label_that_is_not_a_number_is_one_that_is_not_known(energy, monkeypatch) -> None:
    module = energy.module("transforms")
    original = module.examples
    monkeypatch.setattr(module, "examples", lambda readings: original(readings).mutate(label=float("nan")))
    ingest.ingest_partition(energy, energy.partition(DAY))
    compute.compute_features(energy, energy.partition(DAY))
    label = lake.read("energy.examples", partitions=[DAY])["label"]
    assert label.null_count == len(label) > 0


def test_two_feature_rows_with_one_key_and_time_are_refused(energy, monkeypatch) -> None:
    module = energy.module("transforms")
    original = module.meter_history
    monkeypatch.setattr(
        module, "meter_history", lambda readings: original(readings).union(original(readings), distinct=False)
    )
    ingest.ingest_partition(energy, energy.partition(DAY))
    with pytest.raises(BadFeatures, match="keys occur more than once"):
        compute.compute_features(energy, energy.partition(DAY))


def test_a_batch_that_breaks_the_schema_is_a_bad_batch(energy, source) -> None:
    source(lambda rows: rows.drop_columns(["read_at"]))
    with pytest.raises(BadBatch):
        ingest.ingest_partition(energy, energy.partition(DAY))


def test_a_batch_whose_values_do_not_fit_changes_nothing(energy, source) -> None:
    source(lambda rows: rows.append_column("note", pa.array([1] * rows.num_rows)))
    ingest.ingest_partition(energy, energy.partition(DAY))
    before = lake.snapshot("energy.readings"), lake.snapshot("energy.batches")
    source(lambda rows: rows.append_column("note", pa.array([1.5] * rows.num_rows)))
    with pytest.raises(BadBatch, match=r"'note' is int64 there and double here\..* It is kept in quarantine as"):
        ingest.ingest_partition(energy, energy.partition(NEXT))
    assert (lake.snapshot("energy.readings"), lake.snapshot("energy.batches")) == before
    assert "types" in lake.read("energy.refused_batches", partitions=[NEXT])["reasons"].to_pylist()[-1]


def test_a_time_finer_than_the_lake_stores_is_a_bad_batch(energy, source) -> None:
    def finer(rows: pa.Table) -> pa.Table:
        nanoseconds = rows["read_at"].cast(pa.timestamp("ns", tz="UTC")).cast(pa.int64())
        return rows.set_column(2, "read_at", pc.add(nanoseconds, 1).cast(pa.timestamp("ns", tz="UTC")))

    source(finer)
    with pytest.raises(BadBatch, match="cannot hold exactly: column 'read_at'"):
        ingest.ingest_partition(energy, energy.partition(DAY))


MISFITS = {
    "fraction": ("note", pa.scalar(1.5)),
    "duration": ("another", pa.scalar(timedelta(1))),
    "time": ("another", pa.scalar(7, pa.time32("s"))),
}


@pytest.mark.parametrize("misfit", MISFITS)
def test_if_a_second_table_does_not_fit_none_is_written(energy, monkeypatch, misfit: str) -> None:
    module = energy.module("source")
    second = energy.raw[0].model_copy(update={"name": "others"})
    both = energy.model_copy(update={"raw": (*energy.raw, second)})
    monkeypatch.setattr(module, "others", with_column(module.readings, "note", pa.scalar(1)), raising=False)
    tables = ("energy.readings", "energy.others", "energy.batches")
    ingest.ingest_partition(both, both.partition(DAY))
    before = lake.snapshots(tables)
    monkeypatch.setattr(module, "others", with_column(module.readings, *MISFITS[misfit]))
    with pytest.raises(
        BadBatch, match=r"energy\.others.*'(note|another)' is .* here(.|\n)*It is kept in quarantine as"
    ):
        ingest.ingest_partition(both, both.partition(NEXT))
    assert lake.snapshots(tables) == before


def with_column(readings, name: str, value: pa.Scalar):
    """What sends the same rows with a column more, of one value."""

    def send(partition) -> pa.Table:
        rows = readings(partition)
        return rows.append_column(name, pa.repeat(value, len(rows)))

    return send


def test_features_that_do_not_fit_their_table_change_no_other(energy, monkeypatch) -> None:
    for day in (DAY, NEXT):
        ingest.ingest_partition(energy, energy.partition(day))
    module = energy.module("transforms")
    original = module.examples
    monkeypatch.setattr(module, "examples", lambda readings: original(readings).mutate(extra=1))
    compute.compute_features(energy, energy.partition(DAY))
    tables = ("energy.meter_history", "energy.examples")
    before = lake.snapshots(tables)
    monkeypatch.setattr(module, "examples", lambda readings: original(readings).mutate(extra=readings.site))
    with pytest.raises(BadFeatures, match=r"energy\.examples.*'extra' is int32 there"):
        compute.compute_features(energy, energy.partition(NEXT))
    assert lake.snapshots(tables) == before
