"""What all pages share: how numbers and times are written, what is loaded, and what a browser may do."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.pages import layout

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
#: Of the npm package uplot, version 1.6.32: `dist/` and `LICENSE`, as they are published.
VENDORED = {
    "uPlot.iife.min.js": "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f",
    "uPlot.min.css": "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
    "uPlot.LICENSE": "8f989229699b4fe2f1a0432d0e9edc338a8a911e250e2d1b01ecd770a5f5b1bd",
}


@pytest.mark.parametrize(
    ("distance", "said"),
    [
        (timedelta(0), "just now"),
        (timedelta(seconds=59), "just now"),
        (timedelta(minutes=1), "1 minute ago"),
        (timedelta(hours=2, minutes=59), "2 hours ago"),
        (timedelta(days=1), "1 day ago"),
        (timedelta(days=400), "400 days ago"),
        (timedelta(minutes=-5), "in 5 minutes"),
        (timedelta(days=-1), "in 1 day"),
    ],
)
def test_how_long_ago_is_shown_in_the_largest_unit(distance: timedelta, said: str) -> None:
    assert layout.ago(NOW - distance, NOW) == said


@given(st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=st.timezones()))
def test_moments_are_written_in_utc(when: datetime) -> None:
    assert layout.moment(when) == f"{when.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (3e-5, "3e-05"),
        (-0.00052, "-0.00052"),
        (0.0, "0.0000"),
        (0.74051, "0.7405"),
        (-0.5, "-0.5000"),
        (12.3456, "12.35"),
        (1234.5, "1,234"),
        (98765.4, "98,765"),
        (None, "–"),
    ],
)
def test_metrics_are_written_precisely_enough_to_differ(number: float | None, said: str) -> None:
    assert layout.value(number) == said


@pytest.mark.parametrize(("number", "text"), [(0.0123, "+0.0123"), (-1e-5, "-1e-05"), (0.0, "+0.0000")])
def test_a_difference_is_never_rounded_to_nothing(number: float, text: str) -> None:
    assert layout.signed(number) == text


def test_what_is_not_known_is_a_dash() -> None:
    unknown = (layout.moment, layout.ago, layout.count, layout.value, layout.signed, layout.share)
    assert {write(None) for write in unknown} == {"–"}
    assert layout.value(float("nan")) == layout.share(float("nan")) == "–"


@pytest.mark.parametrize("name", sorted(VENDORED))
def test_the_library_of_the_charts_is_as_it_was_published(name: str) -> None:
    assert hashlib.sha256((layout.STATIC / "vendor" / name).read_bytes()).hexdigest() == VENDORED[name]


def test_nothing_that_is_shipped_loads_anything_from_elsewhere() -> None:
    for file in layout.STATIC.rglob("*"):
        if file.suffix in (".css", ".svg"):
            assert not re.search(r"@import|url\(|href=", file.read_text()), file.name


def test_no_template_contains_a_script_or_a_style() -> None:
    # The policy of every page would keep them from working.
    for file in (Path(layout.__file__).parent / "templates").iterdir():
        text = file.read_text()
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:", text), file.name
        for script in re.findall(r"<script[^>]*>", text):
            assert "src=" in script or 'type="application/json"' in script, file.name


def test_files_are_for_who_is_logged_in_and_kept_by_the_browser(http, access) -> None:
    address = f"/perennial/{layout._versioned('perennial.css')}"
    assert http.get(address).status_code == 401
    response = http.get(address, headers=access)
    assert response.status_code == 200
    assert "immutable" in response.headers["cache-control"]
    assert response.headers["content-type"].startswith("text/css")


@pytest.mark.parametrize("name", ["nothing.css", "../app.py", "..%2f..%2fapp.py", "vendor", "vendor/../../app.py"])
def test_no_other_file_is_served(http, access, name: str) -> None:
    assert http.get(f"/perennial/static/{name}", headers=access).status_code == 404


def test_a_refusal_is_a_page_with_the_same_protection(http, access) -> None:
    response = http.get("/perennial/no/such/page", headers=access)
    assert response.status_code == 404
    assert "<h1>" in response.text
    for name, value in layout.HEADERS.items():
        assert response.headers[name] == value


def test_without_a_login_one_is_only_asked_to_log_in(http) -> None:
    response = http.get("/perennial/validations/energy/2024-01-01")
    assert response.status_code == 401
    assert "Log in to Airflow" in response.text
    assert "energy" not in response.text
