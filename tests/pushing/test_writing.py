"""Pushed rows reach the lake and the online store together, once, and no pipeline loses or changes them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pyarrow as pa
import pytest
from pipelines import run_features, run_features_until

import perennial
from perennial import expectations as expect
from perennial import lake
from perennial.errors import InvalidParams, InvalidRows, ServiceUnavailable
from perennial.feature_store.parity import check_online
from perennial.ingestion import refresh
from perennial.settings import settings
from perennial.use_case import UseCase

pytestmark = [pytest.mark.usefixtures("project"), pytest.mark.timeout(600)]
DAY = datetime(2024, 1, 2, tzinfo=UTC)
HOUR = timedelta(hours=1)
_meters = count()


@pytest.fixture(scope="module")
def energy(energy: UseCase, project) -> UseCase:
    """After one complete day."""
    run_features_until(energy, "2024-01-01")
    return energy


@pytest.fixture
def meter(energy: UseCase) -> str:
    """A meter of the test's own."""
    return f"pushed-{next(_meters)}"


def row(meter: str, hour: float = 5.5, value: float = 7.0, **changes: Any) -> dict[str, Any]:
    moment = (DAY + hour * HOUR).isoformat()
    made = {"site": "s", "meter": meter, "event_timestamp": moment, "meter_last": value, "meter_mean_24h": None}
    return made | changes


def stored(meter: str) -> dict[datetime, float]:
    rows = lake.read("energy.meter_history", where=lake.equals("meter", meter)).to_pylist()
    found = {each["event_timestamp"]: each["meter_last"] for each in rows}
    assert len(found) == len(rows), "one row for each key and time"
    return found


def served(meter: str) -> float | None:
    """What is online, asked a day later."""
    from perennial.feature_store import repository

    at = DAY + timedelta(days=1)
    (answer,) = repository.online_features("energy", [{"site": "s", "meter": meter}], at=at)
    return answer["meter_last"]


def test_a_pushed_row_is_in_the_lake_and_online(meter: str) -> None:
    done = perennial.push("energy", "meter_history", [row(meter)])
    assert done == {"new": 1, "known": 0, "online": {"energy_meter_history": 1}}
    assert stored(meter) == {DAY + 5.5 * HOUR: 7.0}
    assert served(meter) == 7.0


def test_a_repeated_push_changes_nothing(meter: str) -> None:
    perennial.push("energy", "meter_history", [row(meter)])
    before = lake.snapshot("energy.meter_history")
    done = perennial.push("energy", "meter_history", [row(meter), row(meter)])
    assert (done["new"], done["known"]) == (0, 1)
    assert lake.snapshot("energy.meter_history") == before


def test_a_late_push_is_kept_and_changes_nothing_online(meter: str) -> None:
    perennial.push("energy", "meter_history", [row(meter, hour=5.5, value=7.0)])
    perennial.push("energy", "meter_history", [row(meter, hour=3.5, value=3.0)])
    assert served(meter) == 7.0
    assert len(stored(meter)) == 2


def test_another_value_of_the_same_moment_is_refused(meter: str) -> None:
    perennial.push("energy", "meter_history", [row(meter)])
    with pytest.raises(InvalidRows, match="differs from a row that is stored"):
        perennial.push("energy", "meter_history", [row(meter, hour=6.5), row(meter, value=8.0)])
    assert stored(meter) == {DAY + 5.5 * HOUR: 7.0}
    with pytest.raises(InvalidRows, match="another row of this push"):
        perennial.push("energy", "meter_history", [row(meter, hour=9), row(meter, hour=9, value=8.0)])


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"meter_last": "seven"}, "rows[1].meter_last"),
        ({"meter": None}, "rows[1].meter"),
        ({"colour": "blue"}, "rows[1].colour"),
        ({"event_timestamp": "2024-01-02T05:00"}, "rows[1].event_timestamp"),
        ({"event_timestamp": "soon"}, "rows[1].event_timestamp"),
        ({"event_timestamp": "2524-01-02T05:00Z"}, "rows[1].event_timestamp"),
        ({"event_timestamp": "2024-02-02T05:00Z"}, "rows[1].event_timestamp"),
    ],
)
def test_one_bad_row_keeps_all_out_and_is_named(meter: str, changes: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidRows) as refused:
        perennial.push("energy", "meter_history", [row(meter), row(meter, hour=6.5) | changes])
    assert refused.value.problems[0][0] == path
    assert stored(meter) == {}


def test_a_missing_column_is_named(meter: str) -> None:
    short = row(meter)
    del short["meter_mean_24h"]
    with pytest.raises(InvalidRows, match=r"rows\[0\].meter_mean_24h is missing"):
        perennial.push("energy", "meter_history", [short])


def test_a_row_that_breaks_an_expectation_is_refused(energy: UseCase, meter: str, monkeypatch) -> None:
    suite = [expect.between({"meter_last": (-100, 1000)})]
    monkeypatch.setattr(energy.module("expectations"), "meter_history", suite, raising=False)
    with pytest.raises(InvalidRows, match="meter_last"):
        perennial.push("energy", "meter_history", [row(meter), row(meter, hour=6, value=5000.0)])
    assert stored(meter) == {}


def test_an_unknown_table_is_refused(energy: UseCase) -> None:
    with pytest.raises(InvalidParams, match="Pushed tables: meter_history"):
        perennial.push("energy", "readings", [])


def test_a_table_of_arrow_is_taken_as_well(meter: str) -> None:
    made = row(meter) | {"event_timestamp": DAY + HOUR}
    assert perennial.push("energy", "meter_history", pa.Table.from_pylist([made]))["new"] == 1
    assert perennial.push("energy", "meter_history", []) == {
        "new": 0,
        "known": 0,
        "online": {"energy_meter_history": 0},
    }


@pytest.fixture
def locked(energy: UseCase) -> Iterator[Callable[[], None]]:
    """The online store takes no rows until this is called."""
    other = sqlite3.connect(settings().home / "online.db")
    other.execute("BEGIN EXCLUSIVE")
    yield other.rollback
    other.close()


def test_rows_that_did_not_get_online_do_when_pushed_again(meter: str, locked: Callable[[], None]) -> None:
    with pytest.raises(ServiceUnavailable, match="Push them again, which is safe"):
        perennial.push("energy", "meter_history", [row(meter)])
    assert len(stored(meter)) == 1
    locked()
    assert perennial.push("energy", "meter_history", [row(meter)])["known"] == 1
    assert served(meter) == 7.0


def test_the_run_at_the_end_keeps_what_was_pushed(energy: UseCase, meter: str) -> None:
    perennial.push("energy", "meter_history", [row(meter), row("meter-0", hour=2, value=77.0, site="site-0")])
    refresh.refresh_features(energy, DAY + 12 * HOUR)
    run_features(energy, energy.cadence.at(DAY))
    assert stored(meter) == {DAY + 5.5 * HOUR: 7.0}
    assert stored("meter-0")[DAY + 2 * HOUR] == 77.0
    (pinned,) = lake.snapshots(["energy.meter_history"]).values()
    rows = lake.read("energy.meter_history", where=lake.equals("meter", meter), snapshot=pinned)
    assert rows.num_rows == 1, "training sees it"
    (view,) = check_online(energy).views
    assert not view.differences
