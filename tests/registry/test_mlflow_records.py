"""What MLflow recorded, read from a real server."""

from __future__ import annotations

import mlflow
import pytest

from perennial.registry import mlflow_records, mlflow_tags, tracking
from perennial.settings import settings

NOBODY = "0" * 32


@pytest.fixture(scope="module")
def run(mlflow_server) -> str:
    """A run with something of everything; its id."""
    tracking.client()
    mlflow.set_experiment("energy.training")
    with mlflow.start_run() as active:
        mlflow.log_params({"alpha": 1.0})
        mlflow.log_metrics({"rows_fit": 10})
        mlflow.set_tags({mlflow_tags.WINDOW: "a..b"})
        mlflow.log_dict({"rows": 3}, "training_set.json")
        mlflow.log_text("<p>grüße", "drift.html")
    server = tracking.client()
    server.create_registered_model("energy")
    server.create_model_version("energy", f"runs:/{active.info.run_id}/model", run_id=active.info.run_id)
    server.set_registered_model_alias("energy", "challenger", "1")
    return active.info.run_id


def test_a_run_is_what_was_logged(run) -> None:
    record = mlflow_records.quick.run(run)
    assert record is not None
    assert (record.params["alpha"], record.metrics["rows_fit"], record.tags[mlflow_tags.WINDOW]) == ("1.0", 10, "a..b")
    assert record.started is not None
    assert record.ended is not None
    assert record.started <= record.ended
    assert record.artifact_page("a b.json") == f"{tracking.run_url(run)}/artifacts/a%20b.json"


def test_documents_are_those_that_are_there(run) -> None:
    assert mlflow_records.quick.documents(run, ["training_set.json", "gate.json"]) == {"training_set.json": {"rows": 3}}
    assert mlflow_records.quick.documents(NOBODY, ["training_set.json"]) == {}


def test_an_artifact_is_its_bytes(run) -> None:
    assert mlflow_records.quick.artifact(run, "drift.html") == "<p>grüße".encode()
    assert mlflow_records.quick.artifact(run, "none.html") is None
    assert mlflow_records.quick.artifact(NOBODY, "drift.html") is None


@pytest.mark.parametrize("path", ["../meta.yaml", "/etc/passwd", "..%2f..%2fmeta.yaml"])
def test_no_path_leads_out_of_a_run(run, path: str) -> None:
    assert mlflow_records.quick.artifact(run, path) is None


def test_versions_lead_to_their_runs(run) -> None:
    assert mlflow_records.quick.versions("energy") == [1]
    assert mlflow_records.quick.run_of("energy", 1) == run
    assert mlflow_records.quick.run_of("energy", 2) is None
    assert mlflow_records.quick.run_of("nothing", 1) is None
    assert mlflow_records.quick.versions("nothing") == []


def test_an_alias_names_its_version(run) -> None:
    assert mlflow_records.quick.version_with_alias("energy", "challenger") == 1
    assert mlflow_records.quick.version_with_alias("energy", "champion") is None
    assert mlflow_records.quick.version_with_alias("nothing", "challenger") is None


def test_tasks_and_pages_read_the_same(run) -> None:
    assert mlflow_records.patient.run(run) == mlflow_records.quick.run(run)
    assert mlflow_records.patient.run_of("energy", 1) == run


def test_a_deleted_run_says_so(run) -> None:
    server = tracking.client()
    server.delete_run(run)
    try:
        assert mlflow_records.quick.run(run).is_deleted
    finally:
        server.restore_run(run)
    assert not mlflow_records.quick.run(run).is_deleted
    assert mlflow_records.quick.run(NOBODY) is None


def test_a_recorded_run_address_follows_a_moved_mlflow(run) -> None:
    assert mlflow_records.run_id_in(tracking.run_url(run)) == run
    assert mlflow_records.run_id_in(f"https://elsewhere:1/#/experiments/2/runs/{run}") == run
    for other in (None, "", "https://elsewhere/#/experiments/2", "/runs/../../x", f"/runs/{run}0"):
        assert mlflow_records.run_id_in(other) is None
    assert mlflow_records.run_page(run) == f"{settings().mlflow_uri}/#/runs/{run}"
