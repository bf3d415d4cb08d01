"""How often a token may ask: never more than its rate, over any time, and no less."""

from __future__ import annotations

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


@given(st.integers(1, 10**6 - 1), st.sampled_from(["s", "m", "h"]))
def test_a_rate_is_read_as_it_is_written(requests: int, unit: str) -> None:
    assert str(parse_rate(f"{requests}/{unit}")) == f"{requests}/{unit}"


@pytest.mark.parametrize("text", ["", "100", "/s", "0/s", "-1/s", "1.5/s", "1000000/s", "1/d", "²/s", "1/s/s"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(InvalidParams, match="is no rate"):
        parse_rate(text)
