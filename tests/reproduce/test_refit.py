"""Versions made again from what was recorded, and each way in which that can turn out otherwise."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import mlflow
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pipelines import run_features_until, train
from reproducible import forget, make_repository, recorded_as
from typer.testing import CliRunner

from perennial import lake
from perennial.cli import app
from perennial.errors import InvalidParams, PerennialError
from perennial.feature_store import repository
from perennial.registry import ledger, model_loading, tracking
from perennial.reproduce import compare, recipe, refit
from perennial.reproduce.report import Part, Reproduction
from perennial.use_case import UseCase

pytestmark = pytest.mark.usefixtures("project", "mlflow_server")


@pytest.fixture(scope="module")
def energy(project: Path, mlflow_server: str, energy: UseCase) -> UseCase:
    """In a project that is a git checkout."""
    make_repository(project)
    return energy


@pytest.fixture(scope="module")
def version(energy: UseCase) -> int:
    """A version trained on three days, of which one was corrected afterwards."""
    run_features_until(energy, "2024-01-03")
    number = train(energy, "first")
    history = lake.read("energy.meter_history", partitions=["2024-01-02"])
    column = history.column_names.index("meter_last")
    lake.replace(
        "energy.meter_history",
        "2024-01-02",
        history.set_column(column, "meter_last", pc.add(history["meter_last"], 1.0)),
        sort_by=("site", "meter", "event_timestamp"),
    )
    return number


def part(reproduction: Reproduction, name: str) -> Part:
    return next(part for part in reproduction.parts if part.name == name)


def test_version_is_equal_to_the_bit_after_data_corrections(energy, version) -> None:
    reproduction = refit.reproduce(energy, version)
    assert reproduction.equal
    assert all(part.equal for part in reproduction.parts), reproduction
    assert not reproduction.advice


def test_the_command_shows_each_part_and_exits_with_0(energy, version) -> None:
    result = CliRunner().invoke(app, ["reproduce", "energy", str(version)])
    assert result.exit_code == 0, result.output
    assert f"energy v{version}: equal" in result.stdout
    assert "288 of the holdout, bit for bit" in result.stdout
    as_json = CliRunner().invoke(app, ["reproduce", "energy", str(version), "--json"])
    assert Reproduction.from_json(json.loads(as_json.stdout)) == refit.reproduce(energy, version)


def test_with_changes_alone_means_nothing(energy) -> None:
    result = CliRunner().invoke(app, ["reproduce", "energy", "1", "--with-changes"])
    assert isinstance(result.exception, InvalidParams)


def test_reproducing_leaves_everything_as_it_was(energy, version, home) -> None:
    def state() -> tuple:
        tables = {name: lake.snapshot(f"energy.{name}") for name in ("examples", "meter_history", "ledger")}
        files = {str(file): file.stat().st_mtime_ns for file in (home / "training_sets").rglob("*")}
        runs = mlflow.search_runs(search_all_experiments=True, output_format="list")
        versions = tracking.client().search_model_versions("name='energy'")
        return tables, files, [run.to_dictionary() for run in runs], len(versions), ledger.entries(energy)

    before = state()
    refit.reproduce(energy, version)
    assert state() == before


def test_another_parameter_gives_other_predictions_on_equal_data(energy, version) -> None:
    plan = mlflow.artifacts.load_dict(f"runs:/{tracking.run_of(energy, version)}/plan.json")
    with recorded_as(energy, version, "plan.json", params=plan["params"] | {"alpha": 50.0}):
        reproduction = refit.reproduce(energy, version)
    assert not reproduction.equal
    assert part(reproduction, "data").equal
    assert "288 of 288 of the holdout differ" in part(reproduction, "predictions").findings[0]
    assert "look for something random" in reproduction.advice


def test_a_parameter_that_the_code_no_longer_knows_is_named(energy, version) -> None:
    plan = mlflow.artifacts.load_dict(f"runs:/{tracking.run_of(energy, version)}/plan.json")
    with recorded_as(energy, version, "plan.json", params=plan["params"] | {"beta": 2.0}):
        reproduction = refit.reproduce(energy, version)
    assert not reproduction.equal
    assert part(reproduction, "predictions").equal is None
    assert "beta: Extra inputs" in part(reproduction, "predictions").findings[0]


def test_how_the_run_was_started_is_no_part_of_the_model(energy, version) -> None:
    """Parameters of the run, not of the estimator, may have changed their kind since."""
    plan = mlflow.artifacts.load_dict(f"runs:/{tracking.run_of(energy, version)}/plan.json")
    with recorded_as(energy, version, "plan.json", params=plan["params"] | {"require_approval": False, "force": "no"}):
        assert refit.reproduce(energy, version).equal


def test_other_rows_are_reported_by_table_column_and_number(energy, version) -> None:
    snapshots = {name: lake.snapshot(name) for name in ("energy.examples", "energy.meter_history")}
    with recorded_as(energy, version, "training_set.json", snapshots=snapshots):
        reproduction = refit.reproduce(energy, version)
    assert not reproduction.equal
    findings = "\n".join(part(reproduction, "data").findings)
    assert "Column meter_last of energy.meter_history: 288 rows differ" in findings
    assert "meter_mean" not in findings
    assert part(reproduction, "predictions").equal, (
        "on the rows that it was fitted on the code still gives the same model"
    )


def test_damaged_training_set_is_reported_with_the_rest(energy, version) -> None:
    file = Path(recipe.read(energy, version).data.path)
    content = file.read_bytes()
    try:
        file.write_bytes(content[:-1] + b"!")
        reproduction = refit.reproduce(energy, version)
        file.unlink()
        gone = refit.reproduce(energy, version)
    finally:
        file.write_bytes(content)
    assert [one.name for one in reproduction.parts if not one.equal] == ["stored file"]
    assert "changed or damaged" in part(reproduction, "stored file").findings[0]
    assert "Move" in reproduction.advice
    assert part(gone, "stored file").findings == (f"{file} is gone.",)


def test_changed_definitions_are_read_without_registering(energy, version, project) -> None:
    file = project / "feature_repo/energy.py"
    content = file.read_text()
    applied = repository.applied_digest()
    try:
        file.write_text(content.replace(', Field(name="meter_mean_24h", dtype=Float64)', ""))
        forget()
        reproduction = refit.reproduce(energy, version)
    finally:
        file.write_text(content)
        forget()
    assert part(reproduction, "data").findings[1:] == ("1 column no longer there: meter_mean_24h.",)
    assert part(reproduction, "code").findings[1] == "1 file differs: feature_repo/energy.py."
    assert f"perennial reproduce energy {version} --checkout" in reproduction.advice
    assert repository.applied_digest() == applied
    assert refit.reproduce(energy, version).equal


def test_an_older_record_is_enough_to_reproduce(energy, version) -> None:
    """Versions trained before provenance was recorded have a commit, a lock and a signature."""
    recorded = recipe.read(energy, version)
    older = recipe.Recipe(**{**vars(recorded), "provenance": None})
    assert compare.code(energy, older).equal
    assert compare.environment(older, {}).equal
    assert model_loading.inputs(energy, version) == recorded.provenance.columns


def test_looking_a_models_inputs_up_leaves_no_file_behind(energy, version, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert model_loading.inputs(energy, version)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_version_is_named(energy, version) -> None:
    with pytest.raises(PerennialError, match="Model 'energy' has no version 99"):
        refit.reproduce(energy, 99)


def test_a_deleted_run_is_named_with_the_way_back(energy, version) -> None:
    run_id = tracking.run_of(energy, version)
    tracking.client().delete_run(run_id)
    try:
        with pytest.raises(PerennialError, match=rf"{run_id}(.|\n)*was deleted(.|\n)*mlflow runs restore"):
            refit.reproduce(energy, version)
    finally:
        tracking.client().restore_run(run_id)


def test_an_expired_snapshot_is_named_by_table(energy, version) -> None:
    """Last in this file: the snapshot does not come back."""
    number = recipe.read(energy, version).data.snapshots["energy.meter_history"]
    lake.table("energy.meter_history").maintenance.expire_snapshots().by_id(number).commit()
    with pytest.raises(PerennialError, match=rf"no longer holds energy.meter_history \(snapshot {number}\)"):
        refit.reproduce(energy, version)


@given(
    values=st.lists(st.floats(allow_nan=True) | st.none(), min_size=1, max_size=20),
    data=st.data(),
)
@settings(deadline=None)
def test_exactly_the_cells_that_changed_are_counted(values: list[float | None], data: st.DataObject) -> None:
    then = pa.table(
        {"id": range(len(values)), "value": pa.array(values, pa.float64()), "steady": values and [1] * len(values)}
    )
    where = data.draw(st.sets(st.integers(0, len(values) - 1)))
    other = [(7.0 if value != 7.0 else 8.0) if row in where else value for row, value in enumerate(values)]
    now = then.set_column(1, "value", pa.array(other, pa.float64()))
    differences = compare.rows(then, now, ["id"], {"value": "lake.table"})
    counted = f"{len(where):,} row{'' if len(where) == 1 else 's'}"
    verb = "differs" if len(where) == 1 else "differ"
    assert differences == ([f"Column value of lake.table: {counted} {verb}."] if where else [])


@given(then=st.sets(st.integers(0, 30)), now=st.sets(st.integers(0, 30)))
def test_rows_that_came_and_went_are_counted(then: set[int], now: set[int]) -> None:
    differences = compare.rows(
        *(pa.table({"id": pa.array(sorted(ids), pa.int64())}) for ids in (then, now)), ["id"], {}
    )
    assert sum("no longer there" in line for line in differences) == bool(then - now)
    assert sum(f"{len(now - then)} row" in line and "new" in line for line in differences) == bool(now - then)


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=1), st.data())
def test_predictions_are_equal_only_to_the_bit(values: list[float], data: st.DataObject) -> None:
    one = np.array(values)
    assert compare.predictions(one, one.copy()).equal
    at = data.draw(st.integers(0, len(values) - 1))
    other = one.copy()
    other.view(np.uint64)[at] ^= 1
    assert not compare.predictions(one, other).equal


def test_a_report_survives_json() -> None:
    reproduction = Reproduction(
        "energy", 1, (Part("data", False, ("a", "b")), Part("code", None, ())), "advice", "commit"
    )
    assert Reproduction.from_json(json.loads(json.dumps(reproduction.as_json()))) == reproduction
