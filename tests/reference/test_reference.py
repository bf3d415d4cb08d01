"""The pages of docs/ that are written from the code."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from perennial import dag_names, discovery, reference
from perennial.lake import schemas as records
from perennial.reference import fields, rest
from perennial.runs.params import params_model
from perennial.settings import Settings
from perennial.use_case import TrainingParams

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("name", sorted(reference.pages()))
def test_a_page_is_up_to_date(name: str) -> None:
    assert (DOCS / name).read_text() == reference.pages()[name](), "run `make docs`"


def test_every_field_says_what_it_means() -> None:
    class Anything:
        params = TrainingParams

    forms = [form for name in dag_names.ALL if (form := params_model(Anything(), name)) is not None]
    silent = [
        f"{model.__name__}.{name}"
        for model in (*fields.PARTS, Settings, *forms)
        for name, field in model.model_fields.items()
        if not field.description
    ]
    assert silent == []


def test_bounds_and_defaults_are_shown() -> None:
    page = fields.use_case()
    assert "| `confidence` | `float` | `0.95` | One-sided confidence level of that comparison. (more" in page
    assert "| `metric` | `str` | must be given |" in page
    assert "| `lookback` | `timedelta` | `0` |" in page


def test_every_lake_table_and_column_has_a_description() -> None:
    schemas = {name.lower(): value for name, value in vars(records).items() if isinstance(value, pa.Schema)}
    of_data = {"prediction": records.PREDICTION, "served_prediction": records.SERVED_PREDICTION}
    assert schemas == records.TABLES | of_data, "a table is missing in TABLES"
    silent = [name for name, schema in records.TABLES.items() if not records.meaning(schema)]
    silent += [
        f"{name}.{field.name}"
        for name, schema in schemas.items()
        for field in schema
        if field.name != "partition" and not records.meaning(field)
    ]
    assert silent == []


@pytest.mark.parametrize("pipeline", dag_names.ALL)
def test_a_pipelines_calls_are_accepted_by_its_own_form(pipeline: str) -> None:
    flights = discovery.load("flights")
    form = params_model(flights, pipeline)
    for example in rest.EXAMPLES[pipeline]:
        assert (example.partition is None) == (pipeline in dag_names.ON_DEMAND)
        if example.partition:
            assert flights.partition(example.partition)
        assert form is not None or not example.conf
        if form is not None:
            form.model_validate(example.conf)


def test_every_task_of_every_dag_file_is_documented() -> None:
    page = rest.markdown()
    for task in ("ingest", "compute", "publish", "parity", "score", "monitor", "revisit", "approve", "finalize"):
        assert f"- `{task}`: " in page
