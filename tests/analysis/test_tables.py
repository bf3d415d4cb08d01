"""A use case's tables as data frames: the lake's own rows, in the library that was asked for."""

from __future__ import annotations

from datetime import UTC, datetime

import pandas as pd
import polars as pl
import pytest

import perennial
from perennial import lake
from perennial.errors import InvalidParams, InvalidPartition, NotEnoughData, ServiceUnavailable, UnknownUseCase
from perennial.training import training_set
from perennial.use_case import UseCase


def test_examples_are_the_rows_of_the_lake(energy: UseCase) -> None:
    rows = perennial.examples("energy", "2024-01-02", "2024-01-03")
    stored = lake.read("energy.examples", partitions=["2024-01-02", "2024-01-03"])
    assert rows.columns[0] == "partition"
    assert len(rows) == stored.num_rows
    assert set(rows["partition"]) == {"2024-01-02", "2024-01-03"}


def test_without_bounds_all_partitions_are_read(energy: UseCase) -> None:
    days = [f"2024-01-0{number}" for number in range(1, 6)]
    assert list(perennial.examples("energy")["partition"].unique()) == days


@pytest.mark.parametrize(("frame", "kind"), [("pandas", pd.DataFrame), ("polars", pl.DataFrame)])
def test_a_frame_is_of_the_library_asked_for(energy: UseCase, frame, kind) -> None:
    entities = perennial.examples("energy", "2024-01-02", "2024-01-02").head(2)
    assert isinstance(perennial.examples("energy", frame=frame), kind)
    assert isinstance(perennial.predictions("energy", frame=frame), kind)
    assert isinstance(perennial.training_set("energy", "2024-01-01", "2024-01-03", frame=frame), kind)
    assert isinstance(perennial.features_as_of("energy", entities, frame=frame), kind)
    assert isinstance(perennial.status("energy", frame=frame), kind)


def test_times_are_utc(energy: UseCase) -> None:
    assert str(perennial.examples("energy")["event_timestamp"].dt.tz) == "UTC"


def test_predictions_bring_the_label_known_by_now(energy: UseCase) -> None:
    rows = perennial.predictions("energy")
    assert set(rows["partition"]) == {"2024-01-04", "2024-01-05"}
    assert rows["prediction"].notna().all()
    assert rows["label"].notna().any()
    truth = perennial.examples("energy", "2024-01-04").set_index(list(energy.examples.key))["label"]
    assert rows.set_index(list(energy.examples.key))["label"].equals(truth.reindex(rows[list(energy.examples.key)]))


def test_a_training_set_is_what_a_run_sees(energy: UseCase) -> None:
    rows = perennial.training_set("energy", "2024-01-01", "2024-01-03")
    built = training_set.build(energy, energy.partition("2024-01-01"), energy.partition("2024-01-03"))
    assert rows.drop(columns="holdout").equals(built.table.to_pandas())
    assert rows["holdout"].sum() == len(built.holdout)


def test_features_as_of_see_nothing_later(energy: UseCase) -> None:
    key = {"site": "site-0", "meter": "meter-0"}
    noon = datetime(2024, 1, 3, 12, tzinfo=UTC)
    rows = perennial.features_as_of("energy", [key], at=noon)
    times = [name for name in rows.columns if name.endswith("__event_timestamp")]
    assert times
    assert all((rows[name] <= noon).all() for name in times)
    assert perennial.features_as_of("energy", [key], at=noon.replace(tzinfo=None)).equals(rows)


def test_features_as_of_need_a_moment(energy: UseCase) -> None:
    with pytest.raises(InvalidParams, match="event_timestamp"):
        perennial.features_as_of("energy", [{"site": "site-0", "meter": "meter-0"}])


def test_status_has_a_row_a_partition(energy: UseCase) -> None:
    rows = perennial.status("energy")
    assert list(rows["partition"]) == [f"2024-01-0{number}" for number in range(1, 6)]
    assert list(rows["champion"].dropna()) == [1, 1]


def test_wrong_names_are_errors_that_say_which(energy: UseCase) -> None:
    with pytest.raises(UnknownUseCase, match="enrgy"):
        perennial.examples("enrgy")
    with pytest.raises(InvalidPartition, match="2023-12-31"):
        perennial.examples("energy", "2023-12-31")
    with pytest.raises(InvalidParams, match="dask"):
        perennial.examples("energy", frame="dask")
    with pytest.raises(NotEnoughData, match="2024-01-31"):
        perennial.training_set("energy", "2024-01-01", "2024-01-31")


def test_a_use_case_without_data_says_what_to_run(energy: UseCase) -> None:
    with pytest.raises(NotEnoughData, match=r"no examples in the lake.*\n?.*replay flights"):
        perennial.examples("flights")
    assert perennial.status("flights").empty


def test_a_lake_out_of_reach_is_an_error(energy: UseCase, monkeypatch, tmp_path) -> None:
    from perennial.settings import settings

    monkeypatch.setenv("PERENNIAL_HOME", str(tmp_path))
    settings.cache_clear()
    with pytest.raises(ServiceUnavailable):
        perennial.status("energy")
    monkeypatch.undo()
    settings.cache_clear()
