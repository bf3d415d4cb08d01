"""`perennial incidents`: what it lists, shows and records."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from typer.testing import CliRunner, Result

from perennial.alerts import incidents
from perennial.alerts.incidents import Incident, IncidentEvent, Subject
from perennial.cli import app
from perennial.cli.frame import console
from perennial.cli.incidents import _table
from perennial.errors import InvalidParams, UnknownUseCase

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def opened(home) -> Incident:  # type: ignore[no-untyped-def]
    """An incident of energy; the installation has one that is closed."""
    for name, subject, title in (("energy", "2024-01-03", "features failed"), ("", "home", "a disk is full")):
        about = Subject("run-failed" if name else "disk", subject)
        identity = incidents.incident_id(name, about, 0)
        told = ("critical", title, "Nothing is predicted.", "Clear it.", "http://airflow", {"run": "r"}, "ann", "", "")
        event = IncidentEvent(identity, name, *about, "opened", 0, *told, NOW)  # type: ignore[arg-type]
        incidents.record(name, lambda known, event=event: [] if known else [event], [])  # type: ignore[misc]
    (disk,) = incidents.of([""])[""]
    incidents.record("", lambda known: [disk.next("closed", NOW, note="9 GB are free")], [disk])
    return incidents.of(["energy"])["energy"][0]


def run(*arguments: str) -> Result:
    result = CliRunner().invoke(app, ["incidents", *arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.mark.parametrize("arguments", [(), ("energy",), ("list",), ("list", "energy")], ids=str)
def test_open_ones_are_listed_by_default(opened: Incident, arguments: tuple[str, ...]) -> None:
    shown = run(*arguments).output
    assert opened.id[:8] in shown
    assert "features failed" in shown
    assert "a disk is full" not in shown


def test_closed_ones_are_listed_on_request(opened: Incident) -> None:
    listed = json.loads(run("--all", "--json").output)
    assert [(each["use_case"], each["state"]) for each in listed] == [("energy", "open"), ("", "closed")]
    assert listed[1]["closed_because"] == "9 GB are free"


def test_no_incident_is_said(opened: Incident) -> None:
    assert run("flights").output == "flights: no incident is open.\n"
    with pytest.raises(UnknownUseCase):
        run("flihgts")


def test_one_is_shown_with_what_to_do_and_its_events(opened: Incident) -> None:
    shown = run("show", opened.id[:5]).output
    for part in ("critical: energy: features failed", "what to do: Clear it.", "opened: features failed", "run: r"):
        assert part in shown


def test_an_acknowledgement_needs_a_note_and_is_shown(opened: Incident) -> None:
    with pytest.raises(InvalidParams, match="A note is missing"):
        run("acknowledge", opened.id)
    assert "acknowledged: energy: features failed" in run("acknowledge", opened.id, "--note", "on it").output
    assert json.loads(run("--json").output)[0]["state"] == "acknowledged"
    assert "acknowledged by" in run("show", opened.id).output


def test_a_title_is_no_markup(opened: Incident, capsys: pytest.CaptureFixture[str]) -> None:
    console().print(_table([Incident((replace(opened.first, title="approve [/red] [bold]me"),))]))
    assert "approve [/red] [bold]me" in capsys.readouterr().out
