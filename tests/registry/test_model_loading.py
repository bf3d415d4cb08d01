"""Attacks on a stored model through a real MLflow server: whatever somebody else wrote there is not loaded."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import mlflow
import numpy as np
import pandas as pd
import pytest
import yaml
from pipelines import run_features_until, train
from sklearn.linear_model import LogisticRegression

from perennial import discovery, drift, gate, lake, scoring
from perennial.errors import ChangedArtifact, PerennialError
from perennial.lake import schemas
from perennial.registry import ledger, model_files, model_loading, run_documents, tracking
from perennial.reproduce import recipe
from perennial.use_case import UseCase

MODEL_FILES = {
    "MLmodel",
    "conda.yaml",
    "input_example.json",
    "model.skops",
    "python_env.yaml",
    "requirements.txt",
    "serving_input_example.json",
}
EVIL = "import pathlib\n\npathlib.Path({marker!r}).touch()\n\n\ndef _load_pyfunc(path):\n    raise SystemExit(3)\n"


class Store:
    """MLflow's artifacts of one version, as anybody sees them who can write there."""

    def __init__(self, address: str, use_case: UseCase, number: int) -> None:
        server = tracking.client()
        self.run_id = tracking.run_of(use_case, number)
        self.model_id = str(tracking.registered_version(use_case, number).model_id)
        self._roots = {
            "model": server.get_logged_model(self.model_id).artifact_location.removeprefix("mlflow-artifacts:/"),
            "run": server.get_run(self.run_id).info.artifact_uri.removeprefix("mlflow-artifacts:/"),
        }
        self._api = f"{address}/api/2.0/mlflow-artifacts/artifacts"

    def _at(self, path: str) -> str:
        root, _, name = path.partition("/")
        return f"{self._api}/{self._roots[root].strip('/')}/{name}"

    def get(self, path: str) -> bytes:
        return httpx.get(self._at(path)).raise_for_status().content

    def put(self, path: str, content: bytes) -> None:
        httpx.put(self._at(path), content=content).raise_for_status()

    def delete(self, path: str) -> None:
        httpx.delete(self._at(path)).raise_for_status()

    def described(self, change: Callable[[dict], None]) -> bytes:
        """MLmodel, otherwise."""
        content = yaml.safe_load(self.get("model/MLmodel"))
        change(content)
        return yaml.safe_dump(content).encode()


@pytest.fixture(scope="module")
def version(project: Path, mlflow_server: str, energy: UseCase) -> int:
    """A version that was trained here; nothing is decided on it."""
    run_features_until(energy, "2024-01-04")
    return train(energy, "first")


@pytest.fixture
def store(mlflow_server: str, energy: UseCase, version: int) -> Store:
    return Store(mlflow_server, energy, version)


@contextmanager
def written(store: Store, **files: bytes | None) -> Iterator[None]:
    """Inside, files are others, or gone; afterwards everything is as it was."""
    before = {}
    for path, content in files.items():
        try:
            before[path] = store.get(path)
        except httpx.HTTPStatusError:
            before[path] = None
        store.delete(path) if content is None else store.put(path, content)
    try:
        yield
    finally:
        for path, content in before.items():
            store.delete(path) if content is None else store.put(path, content)


@contextmanager
def unrecorded(use_case: UseCase) -> Iterator[None]:
    """Inside, nothing is recorded, as in a home that is older than such records."""
    table = use_case.tables.model_files
    rows = lake.read(table)
    assert rows is not None
    lake.catalog().drop_table(table)
    yield
    if lake.table(table) is not None:
        lake.catalog().drop_table(table)
    lake.append_missing(table, rows.select(schemas.MODEL_FILES.names), key=("model_run", "model"))


def test_the_record_names_every_file_with_its_digest(energy: UseCase, version: int, store: Store) -> None:
    [recorded] = model_files.of_run(energy, store.run_id)
    assert recorded.model_files.keys() == MODEL_FILES
    assert all(model_files.digest(store.get(f"model/{name}")) == value for name, value in recorded.model_files.items())
    others = {path for path in recorded.files if not path.startswith(model_files.MODEL)}
    assert {"plan.json", "training_set.json", "provenance.json", "quality.json", "drift/histograms.parquet"} <= others
    assert all(model_files.digest(store.get(f"run/{name}")) == recorded.files[name] for name in others)


def test_an_unchanged_version_loads(energy: UseCase, version: int) -> None:
    predict, columns = model_loading.load(energy, version), model_loading.inputs(energy, version)
    assert predict(pd.DataFrame(np.zeros((2, len(columns))), columns=columns)).shape == (2,)


def test_downloaded_files_load_without_a_server(energy: UseCase, version: int, mlflow_server: str) -> None:
    with model_loading.downloaded(energy, version) as folder:
        mlflow.set_tracking_uri("http://127.0.0.1:9")
        try:
            predict = model_loading.load_from(energy, version, folder)
            frame = pd.DataFrame({name: [1.0] for name in model_loading.inputs_from(folder)})
            assert np.isfinite(predict(frame)).all()
        finally:
            mlflow.set_tracking_uri(mlflow_server)


def test_code_put_into_the_model_never_runs(energy: UseCase, version: int, store: Store, tmp_path: Path) -> None:
    """The gate would import it in a process of its own: a loader that MLflow takes from the model's own folder."""

    def change(described: dict) -> None:
        described["flavors"]["python_function"] |= {"loader_module": "evil", "code": "code"}

    marker = tmp_path / "ran"
    evil = EVIL.format(marker=str(marker)).encode()
    attack = {"model/MLmodel": store.described(change), "model/code/evil.py": evil}
    with written(store, **attack):
        with pytest.raises(ChangedArtifact, match=rf"Version {version} of model 'energy'.*code/evil.py was added"):
            gate.evaluate(energy, version)
        with pytest.raises(ChangedArtifact, match="MLmodel was changed"):
            model_loading.load(energy, version)
        with pytest.raises(ChangedArtifact, match="MLmodel was changed"):
            model_loading.inputs(energy, version)
    assert not marker.exists()


def test_code_named_for_scikit_learn_never_runs(
    energy: UseCase, version: int, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def change(described: dict) -> None:
        described["flavors"]["sklearn"]["code"] = "code"

    marker = tmp_path / "ran"
    attack = {
        "model/MLmodel": store.described(change),
        "model/code/sitecustomize.py": EVIL.format(marker=marker).encode(),
    }
    with written(store, **attack), pytest.raises(ChangedArtifact):
        gate.evaluate(energy, version)
    assert not marker.exists()


@pytest.mark.parametrize("name", sorted(MODEL_FILES))
def test_each_file_of_the_model_is_checked(energy: UseCase, version: int, store: Store, name: str) -> None:
    with (
        written(store, **{f"model/{name}": store.get(f"model/{name}") + b"\n"}),
        pytest.raises(ChangedArtifact, match=rf"{name} was changed(.|\n)*Restore these artifacts"),
    ):
        model_loading.load(energy, version)
    with (
        written(store, **{f"model/{name}": None}),
        pytest.raises(ChangedArtifact, match=f"{name} is missing"),
    ):
        model_loading.load(energy, version)


@pytest.mark.parametrize("name", ["sitecustomize.py", "code/x.py", "model.pkl", "requirements.txt.bak"])
def test_a_file_that_was_added_is_named(energy: UseCase, version: int, store: Store, name: str) -> None:
    with (
        written(store, **{f"model/{name}": b"x"}),
        pytest.raises(ChangedArtifact, match=f"{name} was added"),
    ):
        model_loading.load(energy, version)


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("plan.json", lambda energy, number, run_id: gate.evaluate(energy, number)),
        ("training_set.json", lambda energy, number, run_id: gate.evaluate(energy, number)),
        ("provenance.json", lambda energy, number, run_id: recipe.read(energy, number)),
        ("quality.json", lambda energy, number, run_id: run_documents.read_json(energy, run_id, ["quality.json"])),
        ("drift/profile.json", lambda energy, number, run_id: drift.Profile.load(energy, run_id)),
        ("drift/histograms.parquet", lambda energy, number, run_id: drift.Profile.load(energy, run_id)),
    ],
)
def test_documents_of_the_run_are_checked(energy: UseCase, version: int, store: Store, name: str, read) -> None:
    path = f"run/{name}"
    with written(store, **{path: store.get(path) + b" "}), pytest.raises(ChangedArtifact, match=f"{name} was changed"):
        read(energy, version, store.run_id)
    with written(store, **{path: None}), pytest.raises(ChangedArtifact, match=f"{name} is missing"):
        read(energy, version, store.run_id)


def test_code_changes_the_training_did_not_write_are_refused(energy: UseCase, version: int, store: Store) -> None:
    """A run of committed code has none; with some, and `--with-changes`, a checkout would run them."""
    if any(name.startswith("code/") for name in model_files.of_run(energy, store.run_id)[0].files):
        pytest.skip("this checkout has uncommitted changes, so the run has some")
    with written(store, **{"run/code/changes.json": b"{}"}), pytest.raises(ChangedArtifact, match="was added"):
        recipe.read(energy, version)


def test_tags_do_not_say_where_a_version_comes_from(energy: UseCase, version: int, store: Store) -> None:
    server = tracking.client()
    before = recipe.read(energy, version)
    tags = server.get_run(store.run_id).data.tags
    for name in ("mlflow.source.git.commit", "perennial.lock_digest", "perennial.holdout_start"):
        server.set_tag(store.run_id, name, "f" * 40)
    assert recipe.read(energy, version) == before
    for name in ("mlflow.source.git.commit", "perennial.lock_digest", "perennial.holdout_start"):
        server.set_tag(store.run_id, name, tags[name])


@contextmanager
def registered(use_case: UseCase, address: str, source: str, run_id: str) -> Iterator[int]:
    """A version that somebody registered by hand."""
    made = {"name": use_case.name, "source": source, "run_id": run_id}
    answer = httpx.post(f"{address}/api/2.0/mlflow/model-versions/create", json=made)
    if answer.is_client_error:
        pytest.skip(f"MLflow itself refuses such a source: {answer.text[:200]}")
    number = int(answer.raise_for_status().json()["model_version"]["version"])
    yield number
    tracking.client().delete_model_version(use_case.name, str(number))


def test_a_source_elsewhere_is_not_asked(energy: UseCase, version: int, store: Store, mlflow_server: str) -> None:
    """MLflow's client would send its password there."""
    with closing(socket.create_server(("127.0.0.1", 0))) as elsewhere:
        elsewhere.settimeout(0)
        source = f"http://127.0.0.1:{elsewhere.getsockname()[1]}/model"
        with registered(energy, mlflow_server, source, store.run_id) as number:
            for load in (model_loading.load, model_loading.inputs):
                with pytest.raises(ChangedArtifact, match="is no model that a training run logged"):
                    load(energy, number)
        with pytest.raises(BlockingIOError):
            elsewhere.accept()


@pytest.mark.parametrize("source", ["file:///etc", "runs:/{run}/drift", "models:/energy/1", "mlflow-artifacts:/1"])
def test_only_logged_models_load(energy: UseCase, version: int, store: Store, mlflow_server: str, source: str) -> None:
    with (
        registered(energy, mlflow_server, source.format(run=store.run_id), store.run_id) as number,
        pytest.raises(ChangedArtifact, match="is no model that a training run logged"),
    ):
        model_loading.load(energy, number)


def foreign_model(energy: UseCase) -> tuple[str, str]:
    """A model that somebody logged by hand, of the right form: its run and its address."""
    import mlflow

    frame = pd.DataFrame({"meter_last": [0.0, 1.0]})
    mlflow.set_experiment("by hand")
    with mlflow.start_run() as run:
        model = LogisticRegression().fit(frame, [0, 1])
        info = mlflow.sklearn.log_model(model, name="model", serialization_format="skops", input_example=frame)
    return run.info.run_id, info.model_uri


def test_a_model_that_no_training_logged_is_not_loaded(
    energy: UseCase, version: int, store: Store, mlflow_server: str
) -> None:
    run_id, address = foreign_model(energy)
    with (
        registered(energy, mlflow_server, address, run_id) as number,
        pytest.raises(ChangedArtifact, match=rf"energy.model_files in the lake has no record of MLflow run {run_id}"),
    ):
        model_loading.load(energy, number)
    with (
        registered(energy, mlflow_server, address, store.run_id) as number,
        pytest.raises(ChangedArtifact, match=f"which its training run {store.run_id} did not log"),
    ):
        model_loading.load(energy, number)


def decide(use_case: UseCase, number: int, run_id: str) -> None:
    partition = use_case.partition("2024-01-02")
    ledger.record(
        use_case,
        partition=partition.key,
        action="promoted",
        model_version=number,
        previous_version=None,
        model_run=run_id,
        effective_from=partition.end,
        actor="gate",
        reason="better",
        evidence={},
    )


@contextmanager
def decided(use_case: UseCase, number: int, run_id: str) -> Iterator[None]:
    """Inside, the ledger says that the run's version was promoted, and two partitions are scored by it."""
    decide(use_case, number, run_id)
    yield
    for table in (use_case.tables.ledger, use_case.tables.predictions):
        if lake.table(table) is not None:
            lake.catalog().drop_table(table)


def test_a_version_of_another_run_than_the_ledgers_is_refused(energy: UseCase, version: int) -> None:
    with decided(energy, version, "f" * 32), pytest.raises(ChangedArtifact, match=f"of run {'f' * 32}"):
        model_loading.load(energy, version)


def test_an_older_undecided_version_is_refused(energy: UseCase, version: int) -> None:
    with unrecorded(energy), pytest.raises(ChangedArtifact, match=r"no record of MLflow run(.|\n)*perennial trigger"):
        model_loading.load(energy, version)


def test_an_older_champion_is_adopted_once_and_then_checked(
    energy: UseCase, version: int, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    with decided(energy, version, store.run_id):
        scoring.score(energy, energy.partition("2024-01-03"))
        before = model_files.of_run(energy, store.run_id)[0].model_files
        with unrecorded(energy):
            assert scoring.score(energy, energy.partition("2024-01-04"))["predictions"]
            assert "predicts 288 stored predictions again" in caplog.text
            [row] = lake.records(energy.tables.model_files)
            assert row["origin"] == "adopted"
            assert "drift/histograms.parquet" in json.loads(row["files"])
            assert model_files.of_run(energy, store.run_id)[0].model_files == before
            model_loading.load(energy, version)
            assert len(lake.records(energy.tables.model_files)) == 1
            with written(store, **{"model/conda.yaml": b"x"}), pytest.raises(ChangedArtifact, match=r"conda\.yaml was"):
                model_loading.load(energy, version)


def test_an_older_champion_that_predicts_otherwise_is_refused(
    energy: UseCase, version: int, store: Store, mlflow_server: str
) -> None:
    other = train(energy, "other", alpha=50.0)
    with decided(energy, version, store.run_id):
        scoring.score(energy, energy.partition("2024-01-03"))
        swapped = Store(mlflow_server, energy, other).get("model/model.skops")
        with (
            unrecorded(energy),
            written(store, **{"model/model.skops": swapped}),
            pytest.raises(ChangedArtifact, match="does not predict what it predicted of partition '2024-01-03'"),
        ):
            model_loading.load(energy, version)


def older(part: str, **otherwise: object) -> Callable[[dict], None]:
    def change(described: dict) -> None:
        (described["flavors"].get(part, described)).update(otherwise)

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (older("python_function", loader_module="evil"), "loader_module: evil"),
        (older("python_function", code="code"), "python_function: 'code'"),
        (older("python_function", data="../../x"), "python_function: 'data'"),
        (older("python_function", model_path="../x"), r"model_path: \.\./x"),
        (older("sklearn", code="code"), "sklearn: code: code"),
        (older("sklearn", serialization_format="cloudpickle"), "is stored as cloudpickle"),
        (older("sklearn", skops_trusted_types=["os.system"]), "not trusted: os.system"),
        (older("sklearn", pickled_model="/etc/passwd"), "pickled_model: /etc/passwd"),
        (older("", metadata={"x": 1}), "'metadata' in MLmodel"),
        (older("", saved_input_example_info={"artifact_path": "/etc/passwd", "type": "dataframe"}), "artifact_path"),
        (lambda described: described["flavors"].update(evil={"loader_module": "os"}), "the flavor evil"),
        (lambda described: described["flavors"].pop("python_function"), "no python_function"),
        (lambda described: described.pop("flavors"), "no readable MLmodel"),
    ],
)
def test_an_older_champion_must_have_the_form_of_training(
    energy: UseCase, version: int, store: Store, change: Callable[[dict], None], message: str
) -> None:
    with (
        decided(energy, version, store.run_id),
        unrecorded(energy),
        written(store, **{"model/MLmodel": store.described(change)}),
        pytest.raises(PerennialError, match=message),
    ):
        model_loading.load(energy, version)


def test_types_in_the_estimator_itself_are_checked(energy: UseCase, version: int, store: Store) -> None:
    """What a model says that it holds is not believed."""
    import skops.io

    evil = skops.io.dumps({"x": os.path.join})
    assert skops.io.get_untrusted_types(data=evil)
    with (
        decided(energy, version, store.run_id),
        unrecorded(energy),
        written(store, **{"model/model.skops": evil}),
        pytest.raises(PerennialError, match=r"not trusted: posixpath\.join"),
    ):
        model_loading.load(energy, version)


@pytest.mark.parametrize("make", [lambda path: path.symlink_to("/etc/hostname"), lambda path: os.mkfifo(path)])
def test_only_regular_files_count(tmp_path: Path, make: Callable[[Path], None]) -> None:
    (tmp_path / "a").write_text("x")
    expected = model_files.digests(tmp_path)
    model_files.check_folder("Version 1", expected, tmp_path)
    make(tmp_path / "b")
    with pytest.raises(ChangedArtifact, match="Version 1: in MLflow's artifacts b is no regular file"):
        model_files.check_folder("Version 1", expected | {"b": model_files.digest(b"")}, tmp_path)


def test_probabilities_are_doubles_whatever_the_estimator_gives() -> None:
    frame = pd.DataFrame({"x": np.arange(20, dtype=np.float32)})
    model = LogisticRegression().fit(frame, frame["x"] > 9)
    assert model.predict_proba(frame).dtype == np.float32
    assert model_loading.predictor(discovery.load("flights"), model)(frame).dtype == np.float64
