"""Who sees what and may do what: Airflow's roles, in the browser."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

pytestmark = [pytest.mark.services, pytest.mark.timeout(600)]

ACTS = re.compile("^(Retrain|Roll back|Resume|Approve or reject)")
PAGES = ("/", "/use_cases/energy", "/use_cases/energy/partitions/2024-01-04", "/use_cases/energy/versions/2")


@pytest.mark.parametrize("path", PAGES)
def test_a_viewer_sees_the_page_and_nothing_to_do(person, path: str) -> None:
    page = person("vera").at(path)
    expect(page.get_by_role("heading", level=1)).not_to_have_text(re.compile("log in|Not permitted|Not found"))
    assert page.get_by_role("link", name=ACTS).count() == 0
    assert page.get_by_role("button", name=ACTS).count() == 0


@pytest.mark.parametrize("act", ["retrain", "answer", "roll-back", "resume"])
def test_a_viewer_with_the_address_of_an_action_is_refused(person, act: str) -> None:
    page = person("vera").at(f"/use_cases/energy/actions/{act}")
    expect(page.get_by_role("heading", level=1)).to_have_text("Not permitted")


@pytest.mark.parametrize("user", ["uma", "otto", "admin"])
def test_users_operators_and_admins_find_the_acts(person, user: str) -> None:
    page = person(user).at("/use_cases/energy")
    for act in ("Retrain", "Roll back"):
        expect(page.get_by_role("link", name=act, exact=True).first).to_be_visible()


@pytest.mark.parametrize("path", [*PAGES, "/use_cases/energy/actions/retrain", "/static/perennial.css", "/of?dag=x"])
def test_without_a_login_there_is_nothing(browser, machine, path: str) -> None:
    context = browser.new_context()
    context.set_default_timeout(60_000)
    page = context.new_page()
    response = page.goto(f"{machine.airflow}/perennial{path}")
    assert response is not None
    assert response.status == 401
    assert "2024-01" not in page.content()
    context.close()
