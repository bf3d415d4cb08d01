"""Old snapshots of open partitions go, with their files; whatever may be pinned stays readable."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from urllib.parse import unquote, urlparse

import pyarrow as pa
import pytest

from perennial import lake
from perennial.lake import expiry

pytestmark = pytest.mark.usefixtures("home")
_names = count()
START = datetime(2013, 1, 1, tzinfo=UTC)


@pytest.fixture
def identifier(monkeypatch: pytest.MonkeyPatch) -> str:
    """A table whose snapshots of open partitions are old at once."""
    monkeypatch.setattr(expiry, "KEPT", timedelta(0))
    monkeypatch.setattr(expiry, "AT_ONCE", 4)
    return f"expiry_test.t{next(_names)}"


def refresh(identifier: str, hour: int) -> None:
    """One hour more of a day, whose rows are all written again."""
    hours = [START + timedelta(hours=number) for number in range(hour + 1)]
    rows = pa.table({"at": pa.array(hours, pa.timestamp("us", "UTC")), "id": list(range(hour + 1))})
    lake.replace_open(identifier, "2013-01", rows, since=("at", START))


def data_files(identifier: str) -> list[Path]:
    location = unquote(urlparse(lake.table(identifier).location()).path)
    return sorted(Path(location).rglob("*.parquet"))


def test_snapshots_and_files_do_not_pile_up(identifier: str) -> None:
    lake.replace(identifier, "2012-12", pa.table({"at": pa.array([START], pa.timestamp("us", "UTC")), "id": [9]}))
    for hour in range(20):
        refresh(identifier, hour)
    assert len(lake.table(identifier).metadata.snapshots) <= 2 + 2 * expiry.AT_ONCE
    assert len(data_files(identifier)) <= 2 + expiry.AT_ONCE
    assert lake.read(identifier).num_rows == 21


def test_a_pinned_snapshot_is_readable_ever_after(identifier: str) -> None:
    refresh(identifier, 3)
    lake.replace(identifier, "2012-12", pa.table({"at": pa.array([START], pa.timestamp("us", "UTC")), "id": [9]}))
    (pinned,) = lake.snapshots([identifier]).values()
    before = lake.read(identifier, snapshot=pinned)
    for hour in range(4, 20):
        refresh(identifier, hour)
    assert before.num_rows == 5
    assert lake.read(identifier, snapshot=pinned).equals(before)


def test_recent_snapshots_stay_for_those_who_read_them(identifier: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expiry, "KEPT", timedelta(hours=1))
    for hour in range(6):
        refresh(identifier, hour)
    # Each but the first both deletes and appends.
    assert len(lake.table(identifier).metadata.snapshots) == 11
    assert len(data_files(identifier)) == 6
