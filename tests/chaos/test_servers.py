"""Every server killed while a replay runs: the replay waits, `perennial up` starts what is missing, nothing differs.

A shorter version is in `tests/end_to_end/test_killed_servers.py`.
"""

from __future__ import annotations

import os
import random
import time
from typing import Any

import pytest
from killed_servers import SERVERS, Replay, servers

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(3600)]

SEED = int(os.environ.get("CHAOS_SEED", "4"))
#: What is killed in the course of each day after the first: one server, and then all at the same moment.
VICTIMS = [*((name,) for name in SERVERS), SERVERS]
DAYS = [f"2024-01-{day:02}" for day in range(1, len(VICTIMS) + 2)]
#: A day takes about so long, in seconds: the moments of the kills are spread over it.
_A_DAY = 12.0


@pytest.fixture(scope="module")
def undisturbed() -> dict[str, Any]:
    with servers() as running:
        with Replay(running, DAYS[0], DAYS[-1]) as replay:
            assert replay.end() == 0, replay.printed
        return running.contents()


def test_killed_servers_leave_what_an_undisturbed_replay_does(undisturbed: dict[str, Any]) -> None:
    moments = random.Random(SEED)
    with servers() as running, Replay(running, DAYS[0], DAYS[-1]) as replay:
        for number, (day, victims) in enumerate(zip(DAYS, VICTIMS, strict=False)):
            replay.wait_for(day, "monitoring done")
            time.sleep(moments.uniform(0, _A_DAY))
            running.kill(*victims)
            running.up(at_once=1 + number % 2)
        assert replay.end() == 0, replay.printed
        found = running.contents()
    assert found["versions"] == undisturbed["versions"]
    assert {name for name in {*undisturbed, *found} if undisturbed.get(name) != found.get(name)} == set()
