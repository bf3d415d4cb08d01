"""History: whatever was decided, at every moment from the first promotion on exactly one version serves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from io import StringIO
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from perennial import discovery
from perennial.registry import deployments, ledger
from perennial.registry.ledger import Entry

START = datetime(2026, 1, 1, tzinfo=UTC)
ACTS = st.tuples(
    st.sampled_from(["promoted", "rejected", "rolled-back", "resumed"]),
    st.integers(1, 4),
    st.integers(1, 12).map(lambda month: datetime(2013, month, 1, tzinfo=UTC)),
    # Less than a second, some seconds, or weeks after the act before it.
    st.one_of(st.integers(1, 999_999), st.integers(10**6, 10**8), st.integers(10**6, 10**13)),
)


def entries(acts: list[tuple]) -> list[Entry]:
    """A ledger with these acts, in order."""
    recorded, moment = [], START
    for number, (action, version, effective_from, microseconds) in enumerate(acts):
        moment += timedelta(microseconds=microseconds)
        recorded.append(
            Entry(
                event_id=f"act-{number}",
                partition="2013-01",
                action=action,
                model_version=version,
                previous_version=None,
                model_run=f"run-{version}",
                effective_from=effective_from,
                actor="ada",
                reason="",
                evidence={},
                recorded_at=moment,
            )
        )
    return recorded


@given(st.lists(ACTS, max_size=12), st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_at_every_moment_exactly_the_ledgers_champion_serves(acts: list[tuple], shares: list[float]) -> None:
    recorded = entries(acts)
    periods = deployments.periods(recorded)
    end = recorded[-1].recorded_at + timedelta(days=1) if recorded else START
    edges = [entry.recorded_at + timedelta(microseconds=one) for entry in recorded for one in (-1, 0, 1)]
    for moment in [START, end, *edges, *(START + (end - START) * share for share in shares)]:
        serving = [one.version for one in periods if one.since <= moment and (one.until is None or moment < one.until)]
        champion = ledger.champion_among(entry for entry in recorded if entry.recorded_at <= moment)
        assert serving == ([champion.model_version] if champion else [])


@given(st.lists(ACTS, max_size=12), st.integers(0, 400))
def test_each_point_of_event_time_has_exactly_one_version(acts: list[tuple], day: int) -> None:
    periods = deployments.periods(entries(acts))
    moment = datetime(2012, 12, 15, tzinfo=UTC) + timedelta(days=day)
    scoring = [
        one.version
        for one in periods
        if one.effective_from <= moment and (one.effective_until is None or moment < one.effective_until)
    ]
    assert len(scoring) == (1 if periods and moment >= periods[0].effective_from else 0)


@given(st.lists(ACTS, max_size=12))
def test_deployments_meet_without_a_gap_in_both_times(acts: list[tuple]) -> None:
    periods = deployments.periods(entries(acts))
    for one, following in pairwise(periods):
        assert one.until == following.since
        assert one.effective_until == following.effective_from
        assert one.since < one.until
    assert all(one.until is None for one in periods[-1:])


def test_the_reach_is_given_in_partitions() -> None:
    months = [datetime(2013, month, 1, tzinfo=UTC) for month in (3, 6, 6, 7)]
    acts = [("promoted", number + 1, month, 1) for number, month in enumerate(months)]
    flights = discovery.load("flights")
    reaches = [deployments.partitions_served(flights, one) for one in deployments.periods(entries(acts))]
    assert reaches == ["2013-03..2013-05", deployments.NOTHING, "2013-06", "2013-07 on"]


@pytest.mark.parametrize("reason", ["too many [late] flights", "[/]", "[bold]"])
def test_the_table_shows_a_reason_as_it_was_written(reason: str) -> None:
    (act,) = entries([("promoted", 1, START, 1)])
    entry = Entry(**vars(act) | {"reason": reason})
    history = deployments.DeploymentHistory("flights", tuple(deployments.periods([entry])), None)
    out = Console(width=200, record=True, file=StringIO())
    out.print(deployments.as_table(discovery.load("flights"), history))
    assert reason in out.export_text()
