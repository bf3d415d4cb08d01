"""The ways through the pages, inside Airflow's UI and beside it."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

pytestmark = [pytest.mark.services, pytest.mark.timeout(900)]


def test_the_entry_in_airflows_navigation_opens_the_fleet(person, keep) -> None:
    uma = person("uma")
    uma.page.goto("/")
    uma.page.get_by_role("link", name="Perennial").first.click()
    frame = uma.frame()
    expect(frame.get_by_role("link", name=re.compile("energy|Hourly consumption")).first).to_be_visible()
    assert "/plugin/perennial" in uma.page.url
    keep(uma.page, "fleet-in-airflow")


def test_links_lead_from_fleet_to_version_and_back(person) -> None:
    uma = person("uma")
    frame = uma.framed()
    frame.locator("main a[href$='/use_cases/energy']").first.click()
    frame.wait_for_url(re.compile(r"/use_cases/energy$"))
    frame.locator("main a[href$='/partitions/2024-01-04']").locator("visible=true").first.click()
    frame.wait_for_url(re.compile(r"/partitions/2024-01-04$"))
    frame.locator("main a[href*='/versions/']").locator("visible=true").first.click()
    frame.wait_for_url(re.compile(r"/versions/\d+$"))
    uma.page.go_back()
    frame.wait_for_url(re.compile(r"/partitions/2024-01-04$"))
    frame.get_by_label("Breadcrumbs").get_by_role("link", name="energy").click()
    frame.wait_for_url(re.compile(r"/use_cases/energy$"))


def test_a_page_inside_airflow_can_be_reloaded_by_address(person) -> None:
    uma = person("uma")
    frame = uma.framed()
    frame.locator("main a[href$='/use_cases/energy']").first.click()
    uma.page.wait_for_url(re.compile("/plugin/perennial/perennial/use_cases/energy$"))
    uma.page.reload()
    assert uma.frame().url.endswith("/perennial/use_cases/energy")


@pytest.mark.parametrize("address", ["/plugin/perennial/perennial/use_cases/energy", "/perennial/use_cases/energy"])
def test_a_link_that_leaves_leads_to_airflow_itself(person, address: str) -> None:
    uma = person("uma")
    shown = uma.framed(address) if address.startswith("/plugin") else uma.at("/use_cases/energy")
    shown.locator("main a.leaving[href*='/dags/energy.']").locator("visible=true").first.click()
    uma.page.wait_for_url(re.compile(r"^http://[^/]+/dags/energy\."))


@pytest.mark.parametrize(
    ("page", "below"),
    [
        ("/dags/energy.features/plugin/perennial_dag", "/use_cases/energy"),
        ("/dags/energy.features/runs/{run}/plugin/perennial_dag_run", "/use_cases/energy/partitions/2024-01-02"),
        (
            "/dags/energy.features/runs/{run}/tasks/ingest/plugin/perennial_task_instance",
            "/use_cases/energy/partitions/2024-01-02",
        ),
    ],
)
def test_a_dag_a_run_and_a_task_have_a_tab_with_their_page(person, machine, page: str, below: str) -> None:
    uma = person("uma")
    run = uma.context.request.get(
        "/api/v2/dags/energy.features/dagRuns?partition_key_prefix_pattern=2024-01-02"
    ).json()["dag_runs"][0]["dag_run_id"]
    beside, _, tab = page.format(run=run).partition("/plugin/")
    uma.page.goto(beside)
    # By its address: until the tabs are drawn, the only link of that name is the navigation's.
    uma.page.locator(f"a[href$='/plugin/{tab}']").locator("visible=true").click()
    assert uma.frame().url.partition("/perennial")[2] == below


def test_the_docs_of_a_dag_lead_to_its_page(person) -> None:
    uma = person("uma")
    uma.page.goto("/dags/energy.features")
    uma.page.get_by_role("button", name="Dag Docs").click()
    # Airflow opens the links of its docs in a tab of their own.
    with uma.context.expect_page() as opened:
        uma.page.get_by_role("link", name="energy in Perennial").click()
    opened.value.wait_for_selector("iframe[title=Perennial]")
    assert opened.value.url.endswith("/plugin/perennial/perennial/use_cases/energy")
    opened.value.close()
