"""Every online store: the newest row wins, whatever the order, the number of writers and the moment one is killed."""

from __future__ import annotations

import copy
import itertools
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from examples import examples
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from hypothesis import given, settings
from hypothesis import strategies as st
from online_cases import INSTANT, NOON, STORES, Online, Row, online_store

from perennial.feature_store import repository


@pytest.fixture(scope="module", params=STORES)
def online(home: Path, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Online]:
    with online_store(request.param, tmp_path_factory.mktemp("repo")) as case:
        yield case


def order(row: Row) -> tuple[int, float]:
    """A row's place in time: an unknown time of creation comes before all others."""
    _, event, created = row
    return event, float("-inf") if created is None else created


MOMENTS = st.integers(-2, 2)
ROWS = st.lists(st.tuples(MOMENTS, st.none() | MOMENTS), min_size=1, max_size=6)


@settings(max_examples=examples(40), deadline=None)
@given(times=ROWS, data=st.data())
def test_the_newest_wins_in_any_order_and_any_batches(online: Online, times: list, data: st.DataObject) -> None:
    rows = [(number, *each) for number, each in enumerate(dict.fromkeys(times))]
    shuffled = data.draw(st.permutations(rows))
    cuts = data.draw(st.sets(st.integers(1, max(1, len(rows) - 1))))
    key = online.key()
    for start, end in itertools.pairwise([0, *sorted(cuts), len(rows)]):
        online.write(key, *shuffled[start:end])
    newest = max(rows, key=order)
    assert online.read(key) == [(newest[0], NOON + newest[1] * INSTANT)]


@settings(max_examples=examples(40), deadline=None)
@given(batches=st.lists(ROWS, min_size=1, max_size=3))
def test_of_rows_with_equal_times_the_last_written_stays(online: Online, batches: list) -> None:
    key, number, newest = online.key(), itertools.count(), (0, -9, None)
    for batch in batches:
        rows = [(next(number), *each) for each in batch]
        online.write(key, *rows)
        for row in rows:
            newest = row if order(row) >= order(newest) else newest
    assert online.read(key) == [(newest[0], NOON + newest[1] * INSTANT)]


def test_reading_leaves_the_callers_list_of_features_alone(online: Online) -> None:
    key, features = online.key(), ["trips", "rating"]
    online.write(key, (1, 0, None))
    online.store.provider.online_read(online.store.config, online.view, [key], features)
    assert features == ["trips", "rating"]


@pytest.mark.parametrize("year", [1, 1969, 2300, 9999])
def test_times_are_exact_in_any_year(online: Online, year: int) -> None:
    event = (NOON.replace(year=year) - NOON) // INSTANT + 1
    key = online.key()
    online.write(key, (1, event, event))
    online.write(key, (2, event - 1, event + 1), (3, event, event - 1))
    assert online.read(key) == [(1, NOON + event * INSTANT)]


def test_a_key_that_was_never_written_has_no_row(online: Online) -> None:
    assert online.read(online.key()) == [None]
    features = repository.online_features(online.repo.name, [{"driver_id": "nobody"}])
    assert features == [{"driver_id": "nobody", "trips": None, "rating": None}]


def test_a_view_never_applied_is_empty_until_written(online: Online) -> None:
    view = copy.copy(online.view)
    view.name = "never_applied"
    fresh, key = replace(online, view=view), online.key()
    assert fresh.read(key) == [None]
    fresh.write(key, (1, 0, None))
    assert fresh.read(key)[0][0] == 1


def test_many_keys_are_read_in_the_order_they_are_asked_for(online: Online) -> None:
    keys = [online.key() for _ in range(250)]
    online.write_all([(key, number, 0, None) for number, key in enumerate(keys)])
    assert [row[0] for row in online.read(*reversed(keys))] == list(reversed(range(250)))


def test_a_batch_of_newer_and_older_rows_replaces_only_older(online: Online) -> None:
    keys = [online.key() for _ in range(12)]
    online.write_all([(key, 1, number % 3, None) for number, key in enumerate(keys)])
    online.write_all([(key, 2, 1, None) for key in keys])
    assert [row[0] for row in online.read(*keys)] == [2, 2, 1] * 4


def test_a_server_that_lost_its_scripts_is_sent_them_again(online: Online) -> None:
    key = online.key()
    online.write(key, (1, 0, None))
    online.restart()
    online.write(key, (2, 1, None))
    assert online.read(key)[0][0] == 2


def test_concurrent_forked_writers_keep_reads_whole_and_newest(online: Online) -> None:
    keys = [online.key() for _ in range(3)]
    online.write(keys[0], (-1, -1, None))  # The parent's connections are open when it forks.
    writers = [
        multiprocessing.get_context("fork").Process(target=write, args=(online, keys, seed)) for seed in range(3)
    ]
    for writer in writers:
        writer.start()
    seen = [-1] * 3
    while any(writer.is_alive() for writer in writers):
        now = [-1 if row is None else row[0] for row in online.read(*keys)]
        assert all(new >= old for old, new in zip(seen, now, strict=True))
        seen = now
        time.sleep(0.01)
    assert [writer.exitcode for writer in writers] == [0] * 3
    assert [row[0] for row in online.read(*keys)] == [29] * 3


def write(online: Online, keys: list[EntityKey], seed: int) -> None:
    """Rows of thirty moments, in an order of their own."""
    numbers = list(range(30))
    random.Random(seed).shuffle(numbers)
    for number in numbers:
        for key in keys:
            online.write(key, (number, number, None))


MATERIALIZE = textwrap.dedent("""
    import sys
    from datetime import datetime, timedelta
    from perennial.feature_store import repository
    noon = datetime.fromisoformat(sys.argv[2])
    repository.materialize(sys.argv[1], noon, noon + timedelta(hours=1))
""")


def test_a_killed_materialization_can_be_read_and_finished(online: Online) -> None:
    count = 400 if online.store.config.online_store.type.endswith("DynamoDBOnlineStore") else 40_000
    names = [f"killed{number}" for number in range(count)]
    online.repo.write(
        "stats",
        driver_id=names,
        event_timestamp=pa.array([NOON] * count, pa.timestamp("us", "UTC")),
        trips=list(range(count)),
        rating=[float(number) for number in range(count)],
    )
    keys = [online.key(name) for name in names[:: count // 40]]
    writer = spawn(MATERIALIZE, online.repo.name, NOON.isoformat())
    while not any(online.read(*keys)):
        assert writer.poll() is None, writer.communicate()
    os.kill(writer.pid, signal.SIGKILL)
    writer.wait()
    rows = online.read(*keys)
    assert None in rows
    view = f"{online.repo.name}_stats"
    assert repository.materialize(online.repo.name, NOON, NOON + timedelta(hours=1)) == {view: count}
    assert online.read(*keys) == [(number, NOON) for number in range(0, count, count // 40)]


def spawn(script: str, *arguments: str) -> subprocess.Popen:
    """A process of this environment."""
    return subprocess.Popen(
        [sys.executable, "-c", script, *arguments], stderr=subprocess.PIPE, text=True, env=os.environ
    )
