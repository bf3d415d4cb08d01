"""When features were published is recorded once, and held against what is declared; a replay of the past is not."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pipelines import run_features
from typer.testing import CliRunner

from perennial import lake
from perennial.cli import app
from perennial.feature_store import publication_records, repository
from perennial.feature_store.publication_records import late_publications
from perennial.ingestion import publish
from perennial.partitions import Cadence
from perennial.reporting import partition_status, terminal
from perennial.use_case import UseCase

START = datetime(2026, 3, 1, tzinfo=UTC)
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
VIEW = "energy_meter_history"
DECLARED_HOURLY = {VIEW: [3600.0, 300.0]}


def published(until: datetime, at: datetime, declared: dict | None = None) -> dict:
    return {"until": until, "recorded_at": at, "declared": json.dumps(declared or DECLARED_HOURLY)}


def ticks(*lags: timedelta, declared: dict | None = None) -> list[dict]:
    """Hourly publications of one day, each so much later than its tick."""
    moments = [START + number * HOUR for number in range(1, len(lags) + 1)]
    return [published(moment, moment + lag, declared) for moment, lag in zip(moments, lags, strict=True)]


@given(st.lists(st.timedeltas(timedelta(0), 5 * MINUTE), max_size=8))
def test_ticks_in_time_are_not_late(lags: list[timedelta]) -> None:
    assert late_publications(Cadence.DAILY, ticks(*lags)) == ()


def test_ticks_that_are_mostly_late_are_named_in_a_sentence() -> None:
    (late,) = late_publications(Cadence.DAILY, ticks(MINUTE, 2 * HOUR, 2 * HOUR, MINUTE, 3 * HOUR))
    assert (late.view, late.late, late.of, late.allowed) == (VIEW, 3, 5, 3900)
    assert str(late) == (
        f"view {VIEW} is declared to be published every 1 hour, 5 minutes later; 3 of the last 5 publications were"
        " later: what became known waited up to 3 hours"
    )


@pytest.mark.parametrize(
    "rows",
    [
        ticks(3 * HOUR),
        ticks(3 * HOUR, MINUTE),
        ticks(3 * HOUR, 3 * HOUR, MINUTE, MINUTE, MINUTE),
        ticks(3 * HOUR, 3 * HOUR, declared={VIEW: [None, 0.0]}),
        [*ticks(3 * HOUR, 3 * HOUR), *ticks(3 * HOUR, 3 * HOUR, 3 * HOUR, declared={VIEW: [14400.0, 0.0]})[2:]],
        ticks(timedelta(days=400), timedelta(days=400)),
        ticks(-MINUTE, -MINUTE),
    ],
    ids=["one", "half", "as_it_was", "declares_nothing", "declared_since", "replayed", "before_its_end"],
)
def test_what_says_nothing_is_not_late(rows: list[dict]) -> None:
    assert late_publications(Cadence.DAILY, rows) == ()


def test_whole_partitions_do_not_keep_to_an_hourly_cadence() -> None:
    days = [START + timedelta(days=number) for number in (1, 2)]
    (late,) = late_publications(Cadence.DAILY, [published(day, day + MINUTE) for day in days])
    assert late.took == timedelta(days=1, minutes=1).total_seconds()


def test_the_order_of_rows_does_not_matter() -> None:
    rows = ticks(MINUTE, 2 * HOUR, 2 * HOUR, 3 * HOUR)
    assert late_publications(Cadence.DAILY, rows[::-1]) == late_publications(Cadence.DAILY, rows) != ()


def test_a_publication_is_recorded_once(project, energy: UseCase) -> None:
    partition = energy.first
    repository.apply_if_changed()
    run_features(energy, partition)
    (row,) = lake.records(energy.tables.publications, between=(partition.key, partition.key))
    publish.publish_features(energy, partition)
    assert lake.records(energy.tables.publications, between=(partition.key, partition.key)) == [row]
    assert row["until"] == partition.end
    assert json.loads(row["declared"]) == {VIEW: [None, 0.0]}


def test_the_status_names_a_late_view(project, energy: UseCase) -> None:
    """Two days of now, whose publications the clock dates; declared hourly, and published as whole days."""
    now = datetime.now(UTC)
    for days in (2, 1):
        end = energy.cadence.floor(now) - timedelta(days=days - 1)
        row = {"partition": energy.cadence.at(end - HOUR).key, **published(end, end + 2 * HOUR)}
        lake.append_missing(energy.tables.publications, lake_rows(row), key=("until",))
    (late,) = publication_records.late_now(energy)
    state = partition_status.status(energy)
    assert state.late_publications == (late,)
    assert ", 1 view published late," in terminal.one_line(state)
    assert state.as_json()["late_publications"][0]["took"] == 26 * 3600
    shown = CliRunner().invoke(app, ["status", "energy"], catch_exceptions=False).stdout
    assert f"Late       {late}"[:60] in shown


def lake_rows(row: dict):
    import pyarrow as pa

    from perennial.lake.schemas import PUBLICATIONS

    return pa.Table.from_pylist([row], schema=PUBLICATIONS)
