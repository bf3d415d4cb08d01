"""Of each example the last prediction that was served before its label counts; all others are predicted afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from examples import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from logged import prediction, shape
from pipelines import run_features, run_loop_until

from perennial import PredictionInterval, lake, scoring
from perennial.feature_store import columns
from perennial.feature_store.parity import check_logged
from perennial.monitoring import monitor
from perennial.scoring_ahead import predicting
from perennial.served_predictions import adoption, table
from perennial.served_predictions.writing import PredictionLog
from perennial.use_case import UseCase

pytestmark = pytest.mark.usefixtures("project", "mlflow_server")
DAY = "2024-01-05"
HOUR = timedelta(hours=1)
NOON = datetime(2024, 1, 5, 12, tzinfo=UTC)
SERVED = "energy.served_predictions"


@pytest.fixture(scope="module")
def energy(project, mlflow_server, energy: UseCase) -> UseCase:
    run_loop_until(energy, "2024-01-04")
    run_features(energy, energy.partition(DAY))
    return energy


@pytest.fixture(autouse=True)
def neither_served_nor_scored(energy) -> Iterator[None]:
    """Each test begins with a day that is not scored, and without predictions that were served."""
    yield
    lake.replace("energy.predictions", DAY, lake.read("energy.predictions", partitions=[DAY]).slice(0, 0))
    if lake.table(SERVED) is not None:
        lake.catalog().drop_table(SERVED)


def asked(number: int, meter: int = 0, hour: int = 12, **values: Any) -> dict[str, Any]:
    """A prediction that was served of a meter's hour, as the server records it: half an hour before."""
    key = {"site": f"site-{meter % 3}", "meter": f"meter-{meter}", "read_at": NOON.replace(hour=hour)}
    moment = values.pop("event_timestamp", key["read_at"] - HOUR / 2)
    made = {"prediction_id": f"id-{number}", "event_timestamp": moment, "answered_at": moment, "served_as": "champion"}
    inputs = {"hour_sin": 0.0, "hour_cos": 0.0, "meter_last": float(number), "meter_mean_24h": None}
    model = {"prediction": 100.0 + number, "model_version": 1, "model_run": "run-1", "error": None}
    return key | made | inputs | model | values


def serve(energy: UseCase, *rows: dict[str, Any]) -> None:
    schema = pa.schema([("meter_mean_24h", pa.float64()), ("error", pa.string())])
    found = pa.Table.from_pylist(list(rows))
    for field in schema:
        found = found.set_column(found.column_names.index(field.name), field, found[field.name].cast(field.type))
    table.append(energy, found)


def scored(energy: UseCase) -> dict[tuple[str, datetime], dict[str, Any]]:
    scoring.score(energy, energy.partition(DAY))
    rows = lake.read("energy.predictions", partitions=[DAY])
    return {(row["meter"], row["read_at"]): row for row in rows.to_pylist()}


def test_what_was_served_is_the_examples_prediction(energy) -> None:
    serve(energy, asked(7))
    rows = scored(energy)
    assert len(rows) == 288
    row = rows["meter-0", NOON]
    assert (row["prediction"], row["served_as"], row["prediction_id"]) == (107.0, "champion", "id-7")
    assert (row["meter_last"], row["meter_mean_24h"], row["hour_cos"]) == (7.0, None, 0.0)
    assert (row["event_timestamp"], row["predicted_at"]) == (NOON, NOON - HOUR / 2)
    assert row["lake_snapshots"] is None
    others = [each for name, each in rows.items() if name != ("meter-0", NOON)]
    assert {(each["served_as"], each["prediction_id"]) for each in others} == {("backfilled", None)}
    assert all(each["lake_snapshots"] for each in others)


def test_bounds_are_those_that_were_told(energy) -> None:
    with_interval = energy.model_copy(update={"interval": PredictionInterval()})
    serve(energy, asked(7, prediction_lower=99.0, prediction_upper=111.0), asked(8, meter=1))
    rows = scored(with_interval)
    told = [(rows[meter, NOON]["lower"], rows[meter, NOON]["upper"]) for meter in ("meter-0", "meter-1", "meter-2")]
    # Of what was answered without, and of a version from before there were intervals, nothing is made up.
    assert told == [(99.0, 111.0), (None, None), (None, None)]


def test_what_waits_in_the_log_of_a_server_is_found_too(energy, home: Path) -> None:
    given = asked(7)
    names = ("prediction_id", "event_timestamp", "answered_at", "prediction", "model_version", "model_run", "served_as")
    values = {name: value for name, value in given.items() if name not in (*names, "error")}
    types = lake.table("energy.predictions").schema().as_arrow()
    known = pa.schema([types.field(name).remove_metadata() for name in values])
    record = prediction(**{name: given[name] for name in names}, values=list(values.values()))
    log = PredictionLog(home / "serving_log")
    log.append(shape("energy", lake.canonical(known.empty_table()).schema), [record])
    log.close()
    row = scored(energy)["meter-0", NOON]
    assert (row["prediction_id"], row["served_as"], row["meter_last"]) == ("id-7", "champion", 7.0)


def test_predictions_ahead_count_until_somebody_asks_again(energy) -> None:
    for moment in (NOON - HOUR / 2, NOON + HOUR / 2):
        predicting.predict_ahead(energy, lambda moment=moment: moment)
    serve(energy, asked(1, hour=13, event_timestamp=NOON + 0.75 * HOUR))
    rows = scored(energy)
    assert sum(row["served_as"] == "ahead" for row in rows.values()) == 12 * 7 - 1
    again, asked_later = rows["meter-1", NOON + HOUR], rows["meter-0", NOON + HOUR]
    assert again["predicted_at"] == NOON + HOUR / 2, "the last of two leads"
    assert asked_later["served_as"] == "champion"


def test_a_prediction_of_the_day_before_is_found(energy) -> None:
    serve(energy, asked(1, hour=0), asked(2, meter=1, hour=1, event_timestamp=NOON - 23 * HOUR))
    rows = scored(energy)
    assert {name[0] for name, row in rows.items() if row["served_as"] == "champion"} == {"meter-0", "meter-1"}


def test_shadows_errors_and_late_answers_do_not_count(energy) -> None:
    late = asked(1, event_timestamp=NOON + HOUR + timedelta(microseconds=1))
    shadow = asked(2, meter=1, served_as="shadow")
    failed = asked(3, meter=2, error="PredictionFailed", prediction=None)
    in_time = asked(4, meter=3, event_timestamp=NOON + HOUR)
    serve(energy, late, shadow, failed, in_time)
    assert [name for name, row in scored(energy).items() if row["served_as"] != "backfilled"] == [("meter-3", NOON)]


def test_scoring_again_changes_nothing_whatever_is_served_since(energy) -> None:
    before = scored(energy)
    serve(energy, asked(1))
    assert scoring.score(energy, energy.partition(DAY))["predictions"] == 0
    assert scored(energy) == before


def test_a_day_that_was_served_as_a_whole_needs_no_model(energy, monkeypatch: pytest.MonkeyPatch) -> None:
    every = [asked(hour * 12 + meter, meter=meter, hour=hour) for hour in range(24) for meter in range(12)]
    serve(energy, *every)
    monkeypatch.setattr(scoring.model_loading, "load", lambda *arguments: pytest.fail("a model was loaded"))
    assert {row["served_as"] for row in scored(energy).values()} == {"champion"}


def test_monitors_and_consistency_checks_take_both_kinds(energy) -> None:
    predicting.predict_ahead(energy, lambda: NOON - HOUR / 2)
    rows = scored(energy)
    served = sum(row["served_as"] == "ahead" for row in rows.values())
    verdict = monitor.monitor(energy, energy.partition(DAY))
    assert verdict.evidence.as_json()["rows"] == 288
    logged = check_logged(energy, energy.partition(DAY), 288)
    assert logged.is_consistent
    assert {view.keys for view in logged.views} == {288 - served}


MOMENTS = st.integers(-30, 90).map(lambda minutes: NOON + timedelta(minutes=minutes))


@settings(max_examples=examples(10), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            st.integers(0, 3),
            MOMENTS,
            st.sampled_from(["champion", "canary", "shadow", "ahead"]),
            st.sampled_from([None, None, "PredictionFailed"]),
        ),
        min_size=1,
        max_size=12,
    )
)
def test_it_is_the_last_that_counts(energy, made: list[tuple[int, datetime, str, str | None]]) -> None:
    rows = [
        asked(number, meter=meter, event_timestamp=moment, served_as=kind, error=error)
        for number, (meter, moment, kind, error) in enumerate(made)
    ]
    if lake.table(SERVED) is not None:
        lake.catalog().drop_table(SERVED)
    serve(energy, *rows)
    expected: dict[str, dict[str, Any]] = {}
    for row in sorted(rows, key=lambda row: (row["event_timestamp"], row["answered_at"], row["prediction_id"])):
        if row["served_as"] != "shadow" and row["error"] is None and row["event_timestamp"] <= NOON + HOUR:
            expected[row["meter"]] = row
    day = lake.read("energy.examples", partitions=[DAY]).drop_columns(["label", "label_timestamp"])
    found = adoption.predictions_served(energy, energy.partition(DAY), day)
    if not expected:
        assert found.num_rows == 0
        return
    assert {row["meter"]: row["prediction_id"] for row in found.to_pylist()} == {
        meter: row["prediction_id"] for meter, row in expected.items()
    }
    assert pc.all(pc.equal(found["prediction"], pc.add(found["meter_last"], 100.0))).as_py()


def test_columns_are_told_apart_as_they_are_named() -> None:
    assert columns.event_timestamp_column("view").endswith(adoption._VIEW_TIMES)
    for name in ("prediction", "missing", "meter_last", "size_of_example"):
        assert table.data_name(table.data_column(name)) == name
