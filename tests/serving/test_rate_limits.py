"""How often a token may ask: never more than its rate, over any time, and no less."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.errors import InvalidParams
from perennial.serving.rate_limits import RateLimits
from perennial.serving.tokens import Rate, ServiceToken, parse_rate


def token(rate: Rate | None, name: str = "one") -> ServiceToken:
    now = datetime.now(UTC)
    return ServiceToken(name=name, digest=name, use_cases=None, created=now, expires=None, rate=rate)


@given(
    st.integers(1, 50), st.sampled_from([1, 60]), st.lists(st.floats(0, 5, allow_nan=False), min_size=1, max_size=200)
)
def test_no_more_than_the_bucket_and_what_flows_in(requests: int, seconds: int, pauses: list[float]) -> None:
    now = 0.0
    limits, asking = RateLimits(lambda: now), token(Rate(requests, seconds))
    passed: list[float] = []
    for pause in pauses:
        now += pause
        wait = limits.take(asking)
        if not wait:
            passed.append(now)
        else:
            assert wait <= seconds / requests + 1e-6
    for start in range(len(passed)):
        for end in range(start, len(passed)):
            allowed = requests + (passed[end] - passed[start]) * requests / seconds
            assert end - start + 1 <= allowed + 1e-6
    assert len(passed) >= min(len(pauses), requests)


def test_after_the_stated_wait_it_passes() -> None:
    now = 0.0
    limits, asking = RateLimits(lambda: now), token(Rate(2, 1))
    assert [limits.take(asking) for _ in range(3)] == [0.0, 0.0, 0.5]
    now = 0.5
    assert limits.take(asking) == 0.0
    assert limits.take(asking) == 0.5


def test_tokens_have_buckets_of_their_own_and_none_without_a_rate() -> None:
    limits = RateLimits(lambda: 0.0)
    assert limits.take(token(Rate(1, 3600), "a")) == 0.0
    assert limits.take(token(Rate(1, 3600), "b")) == 0.0
    assert limits.take(token(Rate(1, 3600), "a")) == 3600.0
    assert limits.take(token(Rate(2, 1), "a")) == 0.0, "made again with another rate"
    assert [limits.take(token(None)) for _ in range(100)] == [0.0] * 100


def in_processes(count: int, do) -> list[multiprocessing.Process]:
    """What has become of so many forked processes."""
    forking = multiprocessing.get_context("fork")
    processes = [forking.Process(target=do) for _ in range(count)]
    for each in processes:
        each.start()
    for each in processes:
        each.join(60)
        assert each.exitcode is not None
    return processes


def test_forked_processes_take_from_one_bucket() -> None:
    limits, asking, passed = RateLimits(), token(Rate(500, 1)), multiprocessing.Value("i", 0)

    def ask() -> None:
        end, here = time.monotonic() + 1, 0
        while time.monotonic() < end:
            here += limits.take(asking) == 0.0
        with passed:
            passed.value += here

    began = time.monotonic()
    in_processes(3, ask)
    assert 500 < passed.value <= 500 + (time.monotonic() - began) * 500


def test_a_process_that_is_killed_while_it_takes_blocks_no_other() -> None:
    parent = os.getpid()

    def clock() -> float:
        if os.getpid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)
        return 0.0

    limits, asking = RateLimits(clock), token(Rate(2, 1))
    (killed,) = in_processes(1, lambda: limits.take(asking))
    assert killed.exitcode == -signal.SIGKILL
    assert [limits.take(asking) for _ in range(3)] == [0.0, 0.0, 0.5]


def test_many_tokens_have_buckets_of_their_own() -> None:
    limits = RateLimits(lambda: 0.0)
    asking = [token(Rate(1, 3600), str(number)) for number in range(1000)]
    assert [limits.take(each) for each in asking] == [0.0] * 1000
    assert [limits.take(each) for each in asking] == [3600.0] * 1000


def test_buckets_that_are_full_again_make_room() -> None:
    now = 0.0
    limits = RateLimits(lambda: now)
    for number in range(20_000):
        now += 1.0
        each = token(Rate(1, 60), str(number))
        assert limits.take(each) == 0.0
        assert limits.take(each) == 60.0


@given(st.integers(1, 10**6 - 1), st.sampled_from(["s", "m", "h"]))
def test_a_rate_is_read_as_it_is_written(requests: int, unit: str) -> None:
    assert str(parse_rate(f"{requests}/{unit}")) == f"{requests}/{unit}"


@pytest.mark.parametrize("text", ["", "100", "/s", "0/s", "-1/s", "1.5/s", "1000000/s", "1/d", "²/s", "1/s/s"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(InvalidParams, match="is no rate"):
        parse_rate(text)
