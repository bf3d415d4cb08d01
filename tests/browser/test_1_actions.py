"""Every act, clicked by a person in a browser, down to what it leaves in Airflow and in the ledger."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import expect

pytestmark = [pytest.mark.services, pytest.mark.timeout(900)]


def retrain(person, keep=None, **selected: str) -> str:
    """Retrain on the page, inside Airflow's UI; the run's id."""
    frame = person.framed("/plugin/perennial/perennial/use_cases/energy")
    frame.get_by_role("link", name="Retrain", exact=True).first.click()
    frame.get_by_role("heading", name="Retrain").wait_for()
    for label, option in selected.items():
        frame.get_by_label(label.replace("_", " ")).select_option(option)
    frame.get_by_label("Reason").fill("more meters than before")
    if keep:
        keep(person.page, "act-retrain")
    frame.get_by_role("button", name="Retrain").click()
    return done(person)


def done(person) -> str:
    """The run that the use case's page says was just started."""
    person.page.wait_for_url(re.compile(r"[?&]done="))
    frame = person.frame()
    expect(frame.get_by_role("status")).to_be_visible()
    return parse_qs(urlsplit(frame.url).query)["run"][0]


def test_without_a_reason_nothing_is_sent(person) -> None:
    page = person("uma").at("/use_cases/energy/actions/retrain")
    page.get_by_role("button", name="Retrain").click()
    assert page.url.endswith("/actions/retrain"), "the browser itself asks for the reason"
    page.get_by_label("Reason").fill("   ")
    page.get_by_role("button", name="Retrain").click()
    expect(page.get_by_text("A reason is required")).to_be_visible()


def test_a_retraining_that_is_to_be_asked_about_and_a_rejection(person, machine, keep) -> None:
    run = retrain(person("uma"), keep, Require_approval="always")
    assert machine.wait_for("energy.training", run, "awaiting_input") == "awaiting_input"
    page = person("otto").page
    page.goto(f"/dags/energy.training/runs/{run}/tasks/approve/required_actions")
    expect(page.get_by_text("Why; it is kept in the ledger.").first).to_be_visible()
    frame = person("otto").framed("/plugin/perennial/perennial/use_cases/energy")
    keep(person("otto").page, "use-case-asks")
    frame.get_by_role("link", name="Approve or reject").first.click()
    expect(frame.get_by_text("beats the baseline model").first).to_be_visible()
    keep(person("otto").page, "act-answer")
    frame.get_by_label("Reason").fill("the gateway of site-0 was down")
    frame.get_by_role("button", name="Reject").click()
    assert done(person("otto")) == run
    assert machine.wait_for("energy.training", run) == "success"
    (entry,) = machine.ledger()
    assert (entry["action"], entry["actor"]) == ("rejected", "otto")
    assert entry["reason"].endswith("rejected by otto: the gateway of site-0 was down")


def test_an_approval_promotes_and_the_ledger_says_who_and_why(person, machine) -> None:
    run = retrain(person("uma"), Require_approval="always")
    assert machine.wait_for("energy.training", run, "awaiting_input") == "awaiting_input"
    page = person("admin").at(f"/use_cases/energy/actions/answer?run={run}")
    page.get_by_label("Reason").fill("good enough to begin with")
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_role("status")).to_contain_text("You approved")
    assert machine.wait_for("energy.training", run) == "success"
    entry = machine.ledger()[-1]
    assert (entry["action"], entry["actor"], entry["model_version"]) == ("promoted", "admin", 2)
    assert entry["reason"].endswith("approved by admin: good enough to begin with")
    page = person("uma").at(f"/use_cases/energy/actions/answer?run={run}")
    expect(page.get_by_text("admin answered Approve")).to_be_visible()


def test_a_rollback_and_the_end_of_its_pause(person, machine, keep) -> None:
    machine.perennial("replay", "energy", "--from", "2024-01-03", "--to", "2024-01-04")
    # What would take another day of data: the version that was rejected is promoted.
    machine.python(
        "from perennial import discovery; from perennial.registry import ledger, tracking;"
        "energy = discovery.load('energy');"
        "held = vars(ledger.champion(energy)) | {'event_id': 'test', 'model_version': 1, 'previous_version': 2,"
        " 'model_run': tracking.run_of(energy, 1), 'actor': 'gate', 'reason': 'a little better'};"
        "del held['recorded_at']; ledger.record(energy, **held)"
    )
    frame = person("uma").framed("/plugin/perennial/perennial/use_cases/energy")
    frame.get_by_role("link", name="Roll back", exact=True).first.click()
    expect(frame.get_by_text("v1 is champion now")).to_be_visible()
    frame.get_by_label("Version").select_option("2")
    frame.get_by_label("Pause").fill("7d")
    frame.get_by_label("Reason").fill("worse at night")
    keep(person("uma").page, "act-roll-back")
    frame.get_by_role("button", name="Roll back").click()
    assert machine.wait_for("energy.champion", done(person("uma"))) == "success"
    entry = machine.ledger()[-1]
    assert (entry["action"], entry["actor"], entry["model_version"]) == ("rolled-back", "uma", 2)
    assert entry["reason"] == "worse at night"

    frame = person("otto").framed("/plugin/perennial/perennial/use_cases/energy")
    keep(person("otto").page, "use-case-paused")
    frame.get_by_role("link", name=re.compile("Resume")).first.click()
    expect(frame.get_by_text("by uma: worse at night").first).to_be_visible()
    frame.get_by_label("Reason").fill("mended")
    keep(person("otto").page, "act-resume")
    frame.get_by_role("button", name="Resume").click()
    assert machine.wait_for("energy.champion", done(person("otto"))) == "success"
    entry = machine.ledger()[-1]
    assert (entry["action"], entry["actor"], entry["reason"]) == ("resumed", "otto", "mended")
