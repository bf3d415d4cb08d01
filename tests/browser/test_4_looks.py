"""How the pages look and what they ask for: accessible in light and dark, no wider than a phone, nothing from outside.

Accessibility is judged by axe-core. What a page looked like is kept as a screenshot.
"""

from __future__ import annotations

import json
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from people import PHONE, WIDE

pytestmark = [pytest.mark.services, pytest.mark.timeout(600)]

DAY = "2024-01-04"
PAGES = {
    "fleet": "/",
    "use-case": "/use_cases/energy",
    "partition": f"/use_cases/energy/partitions/{DAY}",
    "quarantine": f"/use_cases/energy/partitions/{DAY}/quarantine",
    "version": "/use_cases/energy/versions/2",
    "validation": f"/validations/energy/{DAY}",
    "act-retrain": "/use_cases/energy/actions/retrain",
    "act-roll-back": "/use_cases/energy/actions/roll-back",
    "not-ours": "/of?dag=something",
    "not-found": "/use_cases/nothing",
}
WINDOWS = {
    "light": {"viewport": WIDE, "color_scheme": "light"},
    "dark": {"viewport": WIDE, "color_scheme": "dark"},
    "phone": {"viewport": PHONE, "color_scheme": "light"},
}


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_accessible_and_fits(person, keep, name: str, window: str) -> None:
    page = person("admin", **WINDOWS[window]).at(PAGES[name])
    page.wait_for_load_state("networkidle")
    keep(page, f"{name}-{window}")
    # What stands in a frame of its own (the model card, Evidently's report) runs no script, so axe cannot look at it.
    results = Axe().run(page, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]})
    violations = [
        f"{one['id']} ({one['impact']}): {node['html'][:160]} {node['any'][:1] and node['any'][0]['message']}"
        for one in results.response["violations"]
        for node in one["nodes"]
    ]
    assert not violations, "\n".join(violations)
    wide = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert wide[0] <= wide[1], "the page itself scrolls sideways"


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_complete_without_scripts(browser, machine, name: str) -> None:
    user, password = "vera" if not name.startswith("act") else "uma", ""
    password = machine.passwords[user]
    context = browser.new_context(base_url=machine.airflow, java_script_enabled=False)
    context.set_default_timeout(60_000)
    token = context.request.post("/auth/token", data={"username": user, "password": password}).json()["access_token"]
    context.set_extra_http_headers({"Authorization": f"Bearer {token}"})
    page = context.new_page()
    page.goto(f"/perennial{PAGES[name]}")
    assert page.locator("main h1").is_visible()
    context.close()


def test_pages_load_nothing_external_and_log_no_errors(person, machine) -> None:
    """Of all that everybody has looked at in this browser so far."""
    own_address = urlsplit(machine.airflow).netloc
    people = [person("admin"), person("uma"), person("otto"), person("vera")]
    people += [person("admin", **window) for window in WINDOWS.values()]
    addresses = [address for one in people for address in one.seen.addresses]
    assert any("/perennial/" in address for address in addresses)
    strangers = {
        urlsplit(address).netloc for address in addresses if not address.startswith(("data:", "blob:", "about:"))
    }
    assert strangers == {own_address}
    refused = ("401", "403", "404", "409", "422")  # Asked for on purpose; the browser says so in its console.
    complaints = [
        complaint
        for one in people
        for complaint in one.seen.complaints
        if not (
            complaint.partition(": ")[2].startswith("Failed to load resource")
            and any(code in complaint for code in refused)
        )
    ]
    assert not complaints, json.dumps(complaints, indent=1)
