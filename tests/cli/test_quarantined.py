"""Commands that wait for runs end with what these left in quarantine: success alone would mislead."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import pytest
from fake_airflow import FakeAirflow
from rich.console import Console
from typer.testing import CliRunner, Result

from perennial import discovery
from perennial.cli import app, quarantined
from perennial.errors import PerennialError, ServiceUnavailable
from perennial.quarantine import summary
from perennial.quarantine.summary import QuarantineSummary, TableSummary
from perennial.runs import follow, progress
from perennial.runs.progress import Step
from perennial.services import airflow_api

SUMMARY = QuarantineSummary(
    (TableSummary("flights", 24_000, 1501, {"distance_between": 1500, "key_unique": 2}, (), 1501),),
    "http://q",
    "http://v",
)
LINES = [
    "quarantine: flights: 1,501 of 25,501 rows quarantined: distance_between (1,500); key_unique (2);"
    " 1,501 pending review",
    "quarantine: review: http://q",
    "quarantine: expectations: http://v",
]


class Airflow(FakeAirflow):
    """One that ends each run in `ends`."""

    ends = "success"

    def __init__(self, **_: Any) -> None:
        super().__init__({})

    def __enter__(self) -> Airflow:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def trigger(self, dag: str, run_id: str, **_: Any) -> Any:
        self.states[dag] = ["running", self.ends]
        return self.run(dag, run_id)

    def latest_successes(self, dag: str) -> list:
        return []


@pytest.fixture(autouse=True)
def _world(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(airflow_api, "AirflowClient", Airflow)
    monkeypatch.setattr(follow, "_POLL", 0.0)
    monkeypatch.setattr(summary, "summarize", lambda use_case, partition: SUMMARY)
    return


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def test_trigger_ends_with_what_is_in_quarantine() -> None:
    done = run("trigger", "flights", "features", "--partition", "2013-01", "--wait")
    assert done.stdout.splitlines()[-4:] == ["flights.features: success", *LINES]


def test_trigger_tells_it_as_json() -> None:
    done = run("trigger", "flights", "features", "--partition", "2013-01", "--wait", "--json")
    told = json.loads(done.stdout)
    assert told["state"] == "success"
    assert told["quarantine"]["tables"][0]["reasons"] == {"distance_between": 1500, "key_unique": 2}
    assert told["quarantine"]["page"] == "http://q"


def test_nothing_is_told_of_what_was_not_waited_for_or_loaded() -> None:
    assert "quarantine" not in json.loads(
        run("trigger", "flights", "features", "--partition", "2013-01", "--json").stdout
    )
    scored = run("trigger", "flights", "scoring", "--partition", "2013-01", "--wait", "--json")
    assert "quarantine" not in json.loads(scored.stdout)


def test_a_failed_run_tells_it_in_its_error_and_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Airflow, "ends", "failed")
    done = run("trigger", "flights", "features", "--partition", "2013-01", "--wait", "--json")
    assert isinstance(done.exception, PerennialError)
    assert done.exception.problem.splitlines()[-3:] == LINES
    assert json.loads(done.stdout)["state"] == "failed"
    assert json.loads(done.stdout)["quarantine"]["tables"]


def test_a_replay_tells_it_below_each_partition() -> None:
    flights = discovery.load("flights")
    steps = [
        Step("2013-01", "features", "already-done"),
        Step("2013-02", "features", "started"),
        Step("2013-02", "features", "done", 2.0),
        Step("2013-02", "scoring", "done", 1.0),
    ]
    for terminal in (False, True):
        remarks, shown = quarantined.QuarantineRemarks(flights), io.StringIO()
        console = Console(file=shown, width=140, force_terminal=terminal, no_color=True)
        wanted = [flights.first, flights.first.next]
        progress.show(console, wanted, remarks.in_errors(steps), remarks.of_step)
        told = [f"quarantine:{line.partition('quarantine:')[2]}" for line in shown.getvalue().splitlines()]
        assert [line for line in told if line != "quarantine:"] == LINES * 2
        assert remarks.as_json("2013-02") == SUMMARY.as_json()
        assert remarks.as_json("2013-03") is None


@pytest.mark.parametrize(
    ("error", "told"),
    [(PerennialError("It failed."), ["It failed.", *LINES]), (ServiceUnavailable("Gone."), ["Gone."])],
)
def test_a_failed_replay_tells_it_in_its_error(error: PerennialError, told: list[str]) -> None:
    def steps() -> Iterator[Step]:
        yield Step("2013-01", "features", "started")
        raise error

    with pytest.raises(PerennialError) as raised:
        list(quarantined.QuarantineRemarks(discovery.load("flights")).in_errors(steps()))
    assert raised.value.problem.splitlines() == told
