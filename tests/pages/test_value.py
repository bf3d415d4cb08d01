"""What decisions were worth, on the fleet page and on the page of a use case."""

from __future__ import annotations

import re

import pytest
from use_case_world import World, doing

from perennial import Value
from perennial.pages import fleet, layout
from perennial.pages import use_case as page
from perennial.pages.fleet import Fact
from perennial.reporting import overview
from perennial.use_case import UseCase


@pytest.fixture
def worth(energy: UseCase) -> World:
    """Two months of one day each, in money; the second one was measured without the first model."""
    world = World(energy.model_copy(update={"value": Value(function="worth", currency="EUR")}))
    world.decided(1, None, "2024-01-02")
    for key, values in (("2024-01-31", (12.5, 10.0, 4.0)), ("2024-02-01", (1.0, None, 2.0))):
        world.partition(key, 1, 0.5)
        at = world.rows["metrics"][-1]["recorded_at"]
        for role, value in zip(("champion", "first", "baseline"), values, strict=True):
            if value is not None:
                fields = {"role": role, "metric": "value", "value": value, "rows": 1000, "labelled": 1000}
                world.add("metrics", partition=key, model_version=1, recorded_at=at, **fields)
    return world


def text(written: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", written).split())


def test_the_fleet_says_what_each_month_was_worth(worth) -> None:
    seen = overview.of_records(worth.use_case, worth.rows)
    shown = text(layout.render("fleet", **fleet.view([Fact("energy", seen, pipelines={})], 1)))
    assert "13,500 EUR 2024-01 to 2024-02: +7,500 EUR over the baseline model, +2,500 EUR over the first model" in shown
    assert "2024-01: 12,500 EUR, +8,500 EUR over baseline, +2,500 EUR over first" in shown
    assert "2024-02: 1,000 EUR, -1,000 EUR over baseline" in shown


def test_the_use_cases_page_begins_with_the_money(energy, worth) -> None:
    written = layout.render(
        "use_case", **page.view(worth.use_case, worth.rows, doing(energy)), may=frozenset(), done=None
    )
    assert written.index('id="value"') < written.index('id="now-champion"')
    shown = text(written)
    assert "13,500 EUR in 2024-01 to 2024-02" in shown
    assert "2024-02 1,000 1,000 EUR -1,000 EUR not measured" in shown


def test_without_a_value_no_page_speaks_of_money(energy, worth) -> None:
    silent = World(energy)
    silent.rows = worth.rows
    seen = overview.of_records(energy, silent.rows)
    assert seen.status.earnings is None
    assert 'id="value"' not in layout.render(
        "use_case", **page.view(energy, silent.rows, doing(energy)), may=frozenset(), done=None
    )
