"""The page of a validation: complete, escaped, and only for those who may see the use case."""

from __future__ import annotations

from html import escape
from html.parser import HTMLParser
from typing import Any

import great_expectations.expectations as gxe
import pyarrow as pa
import pytest

from perennial.errors import BadBatch, BadFeatures
from perennial.ingestion import compute, ingest
from perennial.pages import layout
from perennial.pages import validation as page
from perennial.use_case import UseCase
from perennial.validation import results

pytestmark = pytest.mark.usefixtures("project")
DAY = "2024-01-01"
EVIL = "<script>alert('x')</script>"


def render(energy: UseCase, rows: list[dict[str, Any]], report: str) -> str:
    return layout.render("validation", **page.view(energy, DAY, rows, report.rpartition("/")[2]))


def path(address: str) -> str:
    return "/perennial/" + address.partition("/perennial/")[2]


class Parsed(HTMLParser):
    """What of a page could load or run something."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.addresses: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "action")]


def test_page_lists_all_expectations_and_loads_nothing_external(energy) -> None:
    report = ingest.ingest_partition(energy, energy.partition(DAY))["report"]
    rows = results.of_partition(energy, energy.partition(DAY))
    text = render(energy, rows, report)
    for result in rows[0]["result"]["results"]:
        assert escape(result["expectation_config"]["type"]) in text
    assert f"all {len(rows[0]['result']['results'])} passed" in text
    parsed = Parsed(text)
    assert not parsed.tags & {"img", "iframe", "form", "object", "style"}
    assert not [address for address in parsed.addresses if "//" in address]


def test_what_data_says_is_escaped(energy, monkeypatch) -> None:
    source = energy.module("source")
    rows = source.readings(energy.partition(DAY))
    sites = pa.array([EVIL, *rows["site"].to_pylist()[1:]])
    monkeypatch.setattr(source, "readings", lambda partition: rows.set_column(0, "site", sites))
    monkeypatch.setattr(
        energy.module("expectations"),
        "readings",
        lambda partition: [gxe.ExpectColumnValuesToBeInSet(column="site", value_set=[f"{EVIL}2"], severity="warning")],
    )
    report = ingest.ingest_partition(energy, energy.partition(DAY))["report"]
    text = render(energy, results.of_partition(energy, energy.partition(DAY)), report)
    assert EVIL not in text
    assert "&lt;script&gt;" in text


def test_a_refused_batch_has_a_page_that_its_error_names(energy, monkeypatch, http, access) -> None:
    source = energy.module("source")
    original = source.readings
    monkeypatch.setattr(source, "readings", lambda partition: original(partition).drop_columns(["kwh"]))
    with pytest.raises(BadBatch) as caught:
        ingest.ingest_partition(energy, energy.partition(DAY))
    address = next(word for word in str(caught.value).split() if "/perennial/" in word)
    response = http.get(path(address), headers=access)
    assert response.status_code == 200
    assert "✗ failed" in response.text


def test_features_have_a_page_too_also_when_they_are_wrong(energy, monkeypatch) -> None:
    ingest.ingest_partition(energy, energy.partition(DAY))
    wrong = [gxe.ExpectColumnValuesToBeBetween(column="meter_last", max_value=-1_000, severity="critical")]
    monkeypatch.setattr(energy.module("expectations"), "meter_history", lambda partition: wrong, raising=False)
    with pytest.raises(BadFeatures, match="/perennial/validations/energy/2024-01-01/"):
        compute.compute_features(energy, energy.partition(DAY))
    tables = {row["table"] for row in results.of_partition(energy, energy.partition(DAY))}
    assert {"readings", "meter_history", "examples"} <= tables


def test_nobody_reads_it_without_a_login(http) -> None:
    for place in (DAY, f"{DAY}/0123", "2099-01-01"):
        assert http.get(f"/perennial/validations/energy/{place}").status_code == 401
    assert http.get("/perennial/validations/nothing/x", headers={"Authorization": "Bearer made-up"}).status_code in (
        401,
        403,
    )


def test_who_may_see_the_runs_sees_the_page(http, energy, viewing) -> None:
    ingest.ingest_partition(energy, energy.partition(DAY))
    response = http.get(f"/perennial/validations/energy/{DAY}", headers=viewing)
    assert response.status_code == 200
    assert response.headers["content-security-policy"].startswith("default-src 'none'")


@pytest.mark.parametrize(
    "place", ["energy/2099-01-01", "energy/nonsense", f"energy/{DAY}/0123", "use_cases/x", "..%2f/x"]
)
def test_what_is_not_there_is_not_found(http, place: str, access) -> None:
    assert http.get(f"/perennial/validations/{place}", headers=access).status_code == 404


def test_who_may_not_see_the_runs_is_refused(http, monkeypatch, viewing) -> None:
    from airflow.api_fastapi.app import get_auth_manager

    reads = []

    def refuse(**arguments: object) -> bool:
        reads.append(arguments["details"].id)
        return False

    monkeypatch.setattr(get_auth_manager(), "is_authorized_dag", refuse)
    response = http.get(f"/perennial/validations/energy/{DAY}", headers=viewing)
    assert response.status_code == 403
    assert reads == ["energy.features"]
