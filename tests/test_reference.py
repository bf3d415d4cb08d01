"""The pages of docs/ that are written from the code."""

from __future__ import annotations

from pathlib import Path

import pytest

from perennial import pipelines, reference
from perennial.settings import Settings
from perennial.use_case import TrainingParams

DOCS = Path(__file__).parents[1] / "docs"


@pytest.mark.parametrize("name", sorted(reference.pages()))
def test_a_page_is_up_to_date(name: str) -> None:
    assert (DOCS / name).read_text() == reference.pages()[name](), "run `make docs`"


def test_every_field_says_what_it_means() -> None:
    class Anything:
        params = TrainingParams

    forms = [form for name in pipelines.ALL if (form := pipelines.form(Anything(), name)) is not None]
    silent = [
        f"{model.__name__}.{name}"
        for model in (*reference.PARTS, Settings, *forms)
        for name, field in model.model_fields.items()
        if not field.description
    ]
    assert silent == []


def test_bounds_and_defaults_are_told() -> None:
    page = reference.fields()
    assert "| `confidence` | `float` | `0.95` | How sure the gate must be that it is: one-sided. (more" in page
    assert "| `metric` | `str` | must be given |" in page
    assert "| `lookback` | `timedelta` | `0` |" in page
