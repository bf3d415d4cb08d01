"""What the doctor says of the prediction server: stopped, another program, or serving something else than it should."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest
from examined import SLEEP, Examine
from machines import free_port
from served import entry
from web_server import Answer, serving

from perennial.embedded import processes
from perennial.registry import ledger

NAME = "Prediction server"


def state(version: int | None, problem: str | None = None) -> Answer:
    use_case = {"model_version": version, "ledger_version": version, "problem": problem}
    return Answer(json.dumps({"ready": version is not None, "use_cases": {"flights": use_case}}).encode())


def test_it_is_not_missed_before_anything_runs(examine_with: Examine) -> None:
    assert examine_with(NAME)[NAME].state == "not applicable"
    processes.start("api-server", SLEEP, os.environ)
    found = examine_with(NAME)[NAME]
    assert (found.state, found.message) == ("failed", "does not run, but Airflow does")
    assert examine_with(NAME, PERENNIAL_SERVING_URI="none")[NAME].state == "not applicable"


def test_one_elsewhere_has_to_answer(examine_with: Examine) -> None:
    found = examine_with(NAME, PERENNIAL_SERVING_URI=f"http://127.0.0.1:{free_port()}")[NAME]
    assert (found.state, found.fix) == ("failed", "Check PERENNIAL_SERVING_URI.")
    with serving() as server:
        server.serves("/ready", Answer(b"[]"))
        found = examine_with(NAME, PERENNIAL_SERVING_URI=server.address)[NAME]
    assert "is no prediction server" in found.message


@pytest.mark.parametrize(
    ("served", "in_ledger", "expected"),
    [
        (state(2), 2, ("passed", "v2, as the ledger says")),
        (state(None), None, ("passed", "nothing yet: no version is in production")),
        (state(1, "ChangedArtifact"), 2, ("failed", "v1 serves, but the ledger names v2 (ChangedArtifact)")),
        (state(None), 2, ("failed", "nothing serves, but the ledger names v2")),
    ],
)
def test_what_serves_is_compared_with_the_ledger(
    examine_with: Examine, monkeypatch: pytest.MonkeyPatch, served: Answer, in_ledger: int | None, expected: Any
) -> None:
    monkeypatch.setattr(ledger, "champion", lambda use_case: entry(in_ledger) if in_ledger else None)
    with serving() as server:
        server.serves("/ready", served)
        found = examine_with(NAME, PERENNIAL_SERVING_URI=server.address)
    assert found[NAME].message == f"answers at {server.address}"
    assert (found["Served flights"].state, found["Served flights"].message) == expected
