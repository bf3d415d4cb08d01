"""Dossiers of versions that were really trained, decided on and monitored; their project is a git checkout."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import mlflow
import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from pipelines import run_loop_until, train
from reproducible import forget, make_repository, recorded_as
from typer.testing import CliRunner

from perennial import lake
from perennial.alerts import incidents
from perennial.alerts.incidents import IncidentEvent, Subject
from perennial.cli import app
from perennial.dossier import archive, contents, sources, verifying
from perennial.dossier.contents import Dossier
from perennial.dossier.records import Records
from perennial.errors import InvalidParams, PerennialError, UnknownVersion
from perennial.registry import ledger, mlflow_artifacts, mlflow_tags, model_files, provenance, tracking
from perennial.reproduce import recipe
from perennial.services import credentials, secrets
from perennial.use_case import UseCase

pytestmark = pytest.mark.usefixtures("project", "mlflow_server")

#: The version that was evaluated, its refit, which serves, and one that was no better.
EVALUATED, SERVING, REJECTED = 1, 2, 3
#: In a reason that a person might give.
HOSTILE = "<script>alert(1)</script> see postgresql://ada:swordfish@db/lake"


@pytest.fixture(scope="module")
def energy(project: Path, mlflow_server: str, energy: UseCase) -> UseCase:
    """Four days with two changes to the feature repository: one before the training, in no commit, and one after it."""
    make_repository(project)
    definitions = project / "feature_repo/energy.py"
    definitions.write_text(definitions.read_text() + "# before the training\n")
    forget()
    energy = energy.model_copy(update={"gate": energy.gate.model_copy(update={"refit": True})})
    run_loop_until(energy, "2024-01-04")
    reject(energy, train(energy, "no better", window_end="2024-01-03", force=True))
    definitions.write_text(definitions.read_text() + "# after it\n")
    forget()
    incidents.record("energy", lambda known: [incident("2024-01-04"), incident("another use case's run")], [])
    return energy


def reject(energy: UseCase, version: int) -> None:
    """As a person does who is asked."""
    ledger.record(
        energy,
        partition="2024-01-03",
        action="rejected",
        model_version=version,
        previous_version=SERVING,
        model_run=tracking.run_of(energy, version),
        effective_from=datetime(2024, 1, 5, tzinfo=UTC),
        actor="Ada",
        reason="rejected by Ada: not needed",
        evidence={},
    )


def incident(subject: str) -> IncidentEvent:
    about = Subject("alarm", subject)
    told: dict[str, Any] = dict.fromkeys(("meaning", "action", "link", "owner", "by", "note"), "")
    told |= {"title": f"alarm on {subject}", "evidence": {}, "recorded_at": datetime(2024, 1, 5, tzinfo=UTC)}
    return IncidentEvent(incidents.incident_id("energy", about, 0), "energy", *about, "opened", 0, "warning", **told)


@pytest.fixture(scope="module")
def serving(energy: UseCase) -> Dossier:
    return contents.gather(energy, SERVING)


def read(dossier: Dossier, name: str) -> Any:
    return json.loads(dossier.files[name])


def missing(dossier: Dossier) -> set[str]:
    return {each.what for each in dossier.not_recorded}


def test_a_dossier_of_these_versions_is_intact(energy: UseCase, serving: Dossier) -> None:
    for version in (EVALUATED, REJECTED):
        assert verifying.verify_content(contents.gather(energy, version).content).is_intact
    found = verifying.verify_content(serving.content)
    assert (found.is_intact, found.use_case, found.version) == (True, "energy", SERVING)
    assert found.digest == serving.digest


def test_it_says_who_decided_what(energy: UseCase, serving: Dossier) -> None:
    entry, later = read(serving, "decisions/ledger.json")
    assert (entry["action"], entry["model_version"], entry["actor"]) == ("promoted", SERVING, "gate")
    assert (later["action"], later["model_version"], later["previous_version"]) == ("rejected", REJECTED, SERVING)
    assert read(serving, "decisions/gate.json") == json.loads(json.dumps(ledger.entries(energy)[0].evidence))
    assert [period["version"] for period in read(serving, "decisions/deployments.json")] == [SERVING]
    assert [row["reason"] for row in read(serving, "decisions/requests.json")] == ["first-model"]


def test_a_rejected_version_has_its_decision_and_no_production(energy: UseCase) -> None:
    dossier = contents.gather(energy, REJECTED)
    assert [(each["action"], each["actor"]) for each in read(dossier, "decisions/ledger.json")] == [("rejected", "Ada")]
    assert not [name for name in dossier.files if name.startswith("production/")]
    assert "service in production" in missing(dossier)
    assert b"It never served." in dossier.files["index.html"]


def test_a_refit_shows_what_was_measured_of_the_evaluated_version(energy: UseCase, serving: Dossier) -> None:
    assert "training/quality.json" not in serving.files
    assert read(serving, f"evaluated/v{EVALUATED}/quality.json")["rows"] == 288
    assert f"numbers of version {EVALUATED}" in serving.files["index.html"].decode()
    assert not [what for what in missing(serving) if "metrics" in what]


def test_documents_are_as_the_training_wrote_them(energy: UseCase, serving: Dossier) -> None:
    written = read(serving, "training/files.json")
    assert written["sha256"] == model_files.written(energy, tracking.run_of(energy, SERVING))[0].files
    for name in (mlflow_artifacts.PLAN, mlflow_artifacts.TRAINING_SET, mlflow_artifacts.PROVENANCE):
        digest = hashlib.sha256(serving.files[f"training/{name}"]).hexdigest()
        assert digest == written["sha256"][name]
    assert hashlib.sha256(serving.files["training/MLmodel"]).hexdigest() == written["sha256"]["model/MLmodel"]


def test_the_run_is_as_the_training_left_it(energy: UseCase, serving: Dossier) -> None:
    made = read(contents.gather(energy, EVALUATED), "training/run.json")
    assert made["metrics"]["holdout_rmse"] > 0
    assert made["tags"][mlflow_tags.OWNER] == "grid-team"
    assert not [name for name in (*made["metrics"], *made["tags"]) if "gate" in name]


def test_each_table_has_the_rows_of_its_snapshot(energy: UseCase, serving: Dossier) -> None:
    tables = {each["table"]: each for each in read(serving, "data/tables.json")}
    assert set(tables) == {"energy.examples", "energy.meter_history"}
    for name, each in tables.items():
        assert list(each["rows_by_partition"]) == ["2024-01-01", "2024-01-02", "2024-01-03"]
        for key, rows in each["rows_by_partition"].items():
            assert rows == lake.read(name, partitions=[key], snapshot=int(each["snapshot"])).num_rows


def test_batches_transforms_and_validations_are_those_of_the_window(serving: Dossier) -> None:
    for name, tables in (("batches", {"readings"}), ("computations", {"examples", "meter_history"})):
        rows = read(serving, f"data/{name}.json")
        assert {row["table"] for row in rows} == tables
        assert {row["partition"] for row in rows} == {"2024-01-01", "2024-01-02", "2024-01-03"}
    checked = read(serving, "data/validations.json")
    assert {row["table"] for row in checked} == {"readings", "meter_history", "examples"}
    assert all(row["success"] and "result" not in row for row in checked)
    expected = {
        "expectation": "expect_column_values_to_be_between",
        "column": "kwh",
        "success": True,
        "unexpected_count": 0,
    }
    expected |= {"parameters": {"min_value": -100, "max_value": 1000}}
    for row in checked:
        if row["table"] == "readings":
            assert any(expected.items() <= each.items() for each in row["expectations"]), row["expectations"]


def test_what_was_recomputed_after_the_training_is_not_shown(energy: UseCase, serving: Dossier) -> None:
    table, key = "energy.computations", "2024-01-02"
    before = lake.read(table, partitions=[key])
    changed = before.set_column(
        before.column_names.index("transform"), before.schema.field("transform"), [["another"] * before.num_rows]
    )
    lake.replace(table, key, changed, sort_by=("table",))
    try:
        assert (
            contents.gather(energy, SERVING).files["data/computations.json"] == serving.files["data/computations.json"]
        )
    finally:
        lake.replace(table, key, before, sort_by=("table",))


def test_source_files_are_those_of_the_training(energy: UseCase, project: Path, serving: Dossier) -> None:
    recorded = recipe.read(energy, SERVING).provenance.files
    own = {name for name in recorded if name.startswith(("include/use_cases/energy/", "feature_repo/"))}
    found = {name.removeprefix("sources/"): content for name, content in serving.files.items() if "sources/" in name}
    assert set(found) == own
    for name, content in found.items():
        assert hashlib.sha256(content).hexdigest().startswith(recorded[name])
    assert found["feature_repo/energy.py"].endswith(b"# before the training\n")


def test_a_source_file_that_changed_since_comes_from_its_commit(
    energy: UseCase, project: Path, serving: Dossier
) -> None:
    flights = project / "feature_repo/flights.py"
    before = flights.read_bytes()
    flights.write_bytes(before + b"# changed\n")
    try:
        assert contents.gather(energy, SERVING).content == serving.content
    finally:
        flights.write_bytes(before)


def test_a_source_file_that_is_nowhere_is_listed(energy: UseCase, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_git(*arguments: str, **options: Any) -> str:
        raise FileNotFoundError("git")

    monkeypatch.setattr(provenance, "git", no_git)
    dossier = contents.gather(energy, SERVING)
    assert "source file feature_repo/energy.py" in missing(dossier)
    assert "sources/feature_repo/energy.py" not in dossier.files


def test_purpose_and_owner_are_those_of_the_declaration(serving: Dossier) -> None:
    page = serving.files["index.html"].decode()
    assert "How many kWh will a meter read in the hour that begins now?" in page
    assert "grid-team" in page
    assert "Look at the meter&#39;s gateway first." in page


def test_the_bill_of_materials_is_of_the_recorded_environment(energy: UseCase) -> None:
    environment = recipe.read(energy, EVALUATED).provenance.environment
    recorded = {"python": "3.11.1", "packages": {"scikit-learn": "1.2.3", "numpy": "2.0.0"}}
    with recorded_as(energy, EVALUATED, mlflow_artifacts.PROVENANCE, environment=environment.model_dump() | recorded):
        written = contents.gather(energy, EVALUATED).files[contents.SBOM].decode()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(written) is None
    bom = json.loads(written)
    assert {(each["name"], each["version"]) for each in bom["components"]} == {
        *recorded["packages"].items(),
        ("python", "3.11.1"),
    }
    assert {each["purl"] for each in bom["components"] if "purl" in each} == {
        "pkg:pypi/scikit-learn@1.2.3",
        "pkg:pypi/numpy@2.0.0",
    }
    assert datetime.fromisoformat(bom["metadata"]["timestamp"]) == tracking.training_run(energy, EVALUATED).started


def test_production_is_that_of_the_version(serving: Dossier) -> None:
    assert [row["partition"] for row in read(serving, "production/verdicts.json")] == ["2024-01-04"]
    assert {row["model_version"] for row in read(serving, "production/metrics.json")} == {SERVING}
    assert {row["model_version"] for row in read(serving, "production/drift.json")} == {SERVING}


def test_incidents_of_the_partitions_that_it_scored_are_in_it(serving: Dossier) -> None:
    assert [row["subject"] for row in read(serving, "incidents/events.json")] == ["2024-01-04"]
    assert b"alarm on 2024-01-04" in serving.files["index.html"]


def test_the_newest_record_is_stated(serving: Dossier) -> None:
    told = read(serving, "manifest.json")
    rows = [
        row for name in serving.files if name.startswith(("production/", "decisions/l")) for row in read(serving, name)
    ]
    assert told["newest_record"] == max(row["recorded_at"] for row in rows)
    assert serving.newest_record == datetime.fromisoformat(told["newest_record"])


def test_another_process_writes_the_same_bytes(energy: UseCase, serving: Dossier, tmp_path: Path) -> None:
    code = "from perennial.cli import main; main()"
    arguments = ["dossier", "energy", str(SERVING), "--to", str(tmp_path / "a.zip")]
    # Another zone, another order of sets, another folder.
    environment = os.environ | {
        "TZ": "America/Lima",
        "PYTHONHASHSEED": "11",
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, env=environment, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "a.zip").read_bytes() == serving.content
    assert serving.digest in done.stdout


def test_as_of_a_moment_later_records_are_left_out(energy: UseCase, serving: Dossier) -> None:
    decided = next(entry for entry in ledger.entries(energy) if entry.model_version == SERVING).recorded_at
    before = contents.gather(energy, SERVING, decided - timedelta(microseconds=1))
    assert "decision of the gate" in missing(before)
    assert "decisions/ledger.json" not in before.files
    then = contents.gather(energy, SERVING, decided)
    assert then.newest_record == decided
    assert "decisions/ledger.json" in then.files
    assert "production/verdicts.json" not in then.files
    assert "model card and plots" in missing(then)


def test_a_plot_with_a_strange_name_is_left_out(energy: UseCase, tmp_path: Path) -> None:
    (tmp_path / "<script>.png").write_bytes(b"x")
    run_id = tracking.run_of(energy, REJECTED)
    tracking.client().log_artifact(run_id, str(tmp_path / "<script>.png"), "plots")
    dossier = contents.gather(energy, REJECTED)
    assert "some files of plots" in missing(dossier)
    assert "plots/importance.png" in dossier.files
    assert verifying.verify_content(dossier.content).is_intact


def test_what_is_logged_to_the_run_later_changes_nothing(energy: UseCase, serving: Dossier) -> None:
    with mlflow.start_run(run_id=tracking.run_of(energy, SERVING)):
        mlflow.log_metric("gate_rollout", 1.0)
        mlflow.set_tag(mlflow_tags.GATE_REASON, "later")
    assert contents.gather(energy, SERVING).content == serving.content


def test_as_of_now_holds_every_record(energy: UseCase, serving: Dossier) -> None:
    now = contents.gather(energy, SERVING, datetime.now(UTC))
    for name in serving.files:
        if name.startswith(("decisions/", "production/", "data/", "training/")):
            assert now.files[name] == serving.files[name]


def test_before_its_training_there_is_no_version(energy: UseCase) -> None:
    with pytest.raises(UnknownVersion, match="not trained yet"):
        contents.gather(energy, SERVING, tracking.training_run(energy, SERVING).started - timedelta(seconds=1))
    with pytest.raises(UnknownVersion):
        contents.gather(energy, 99)


def test_a_document_that_was_changed_is_named_and_left_out(energy: UseCase) -> None:
    run_id, name = tracking.run_of(energy, REJECTED), mlflow_artifacts.QUALITY
    before = mlflow.artifacts.load_text(f"runs:/{run_id}/{name}")
    tracking.client().log_text(run_id, before.replace("rmse", "rnse"), name)
    try:
        dossier = contents.gather(energy, REJECTED)
    finally:
        tracking.client().log_text(run_id, before, name)
    assert f"training/{name}" not in dossier.files
    assert any(each.what == name and "was changed" in each.why for each in dossier.not_recorded)
    assert f"training/{mlflow_artifacts.PLAN}" in dossier.files


def test_a_version_whose_run_is_gone_has_its_ledger(energy: UseCase) -> None:
    run_id = tracking.run_of(energy, REJECTED)
    tracking.client().delete_run(run_id)
    try:
        dossier = contents.gather(energy, REJECTED)
    finally:
        tracking.client().restore_run(run_id)
    assert f"the training of v{REJECTED}" in missing(dossier)
    assert "decisions/ledger.json" in dossier.files
    assert read(dossier, "training/files.json")["sha256"]


def test_the_page_has_no_script_and_loads_nothing(serving: Dossier) -> None:
    page = serving.files["index.html"].decode()
    seen: list[tuple[str, dict[str, str | None]]] = []

    class Tags(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            seen.append((tag, dict(attrs)))

    Tags().feed(page)
    assert {tag for tag, _ in seen}.isdisjoint({"script", "link", "iframe", "object", "embed", "form", "base"})
    assert all(not name.startswith("on") for _, attributes in seen for name in attributes)
    assert all(value.startswith("data:image/png;") for _, attributes in seen if (value := attributes.get("src")))
    links = {str(attributes["href"]) for tag, attributes in seen if tag == "a"}
    assert links - {"#missing"} <= serving.files.keys()
    assert len([name for name in links if name.startswith("sources/")]) > 3
    assert re.search(r"img-src data:", page)


def test_what_people_wrote_is_escaped_and_logins_are_removed(energy: UseCase, monkeypatch: pytest.MonkeyPatch) -> None:
    real = ledger.entries

    def with_a_hostile_reason(use_case: UseCase) -> list[ledger.Entry]:
        return [ledger.Entry(**vars(entry) | {"reason": HOSTILE}) for entry in real(use_case)]

    monkeypatch.setattr(ledger, "entries", with_a_hostile_reason)
    dossier = contents.gather(energy, REJECTED)
    assert b"<script" not in dossier.files["index.html"]
    assert b"&lt;script&gt;" in dossier.files["index.html"]
    assert not [name for name, content in dossier.files.items() if b"swordfish" in content]
    assert read(dossier, "manifest.json")["logins_removed_from"] == ["decisions/ledger.json"]


def test_no_secret_of_the_installation_is_in_it(
    energy: UseCase, home: Path, serving: Dossier, monkeypatch: pytest.MonkeyPatch
) -> None:
    login = credentials.login()
    assert login.password.encode() not in serving.content
    real = ledger.entries
    monkeypatch.setattr(
        ledger,
        "entries",
        lambda use_case: [ledger.Entry(**vars(each) | {"actor": login.password}) for each in real(use_case)],
    )
    with pytest.raises(PerennialError, match="would hold a password or key"):
        contents.gather(energy, SERVING)


@pytest.mark.parametrize("secret", ['pa"ss\\word', "pass<word>", "pässword"])
def test_no_secret_is_in_it_as_json_or_html_writes_it(
    energy: UseCase, serving: Dossier, monkeypatch: pytest.MonkeyPatch, secret: str
) -> None:
    real = ledger.entries
    monkeypatch.setattr(secrets, "of_installation", lambda: frozenset({secret}))
    monkeypatch.setattr(
        ledger, "entries", lambda use_case: [ledger.Entry(**vars(each) | {"actor": secret}) for each in real(use_case)]
    )
    with pytest.raises(PerennialError, match="would hold a password or key"):
        contents.gather(energy, SERVING)


def test_a_source_file_elsewhere_is_not_looked_for(energy: UseCase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "_candidates", lambda *_: pytest.fail("it was looked for"))
    records = Records(energy)
    assert sources.recover(records, {"feature_repo/../../x/y": "00"}, "", b"") == {}
    assert [each.what for each in records.not_recorded] == ["source file 'feature_repo/../../x/y'"]


def test_the_command_writes_verifies_and_names_what_changed(energy: UseCase, serving: Dossier, tmp_path: Path) -> None:
    path = tmp_path / "a.zip"

    def command(*arguments: str) -> Any:
        return CliRunner().invoke(app, ["dossier", *arguments])

    written = command("energy", str(SERVING), "--to", str(path), "--json")
    assert written.exit_code == 0, written.output
    assert json.loads(written.stdout)["digest"] == serving.digest
    assert "already there with the same bytes" in command("energy", str(SERVING), "--to", str(path)).stdout
    assert isinstance(command("energy", str(REJECTED), "--to", str(path)).exception, InvalidParams)
    checked = command("--verify", str(path), "--against-records")
    assert checked.exit_code == 0, checked.output
    assert serving.digest in checked.stdout
    files, _ = archive.unpack(path.read_bytes())
    path.write_bytes(archive.pack(files | {"decisions/ledger.json": b"[]\n"}))
    spoiled = command("--verify", str(path), "--json")
    assert spoiled.exit_code == 1
    assert json.loads(spoiled.stdout)["problems"] == [{"file": "decisions/ledger.json", "what": "was changed"}]


def test_records_that_were_added_since_are_no_difference(energy: UseCase, serving: Dossier) -> None:
    ledger.record(
        energy,
        partition="2024-01-04",
        action="resumed",
        model_version=SERVING,
        previous_version=SERVING,
        model_run=tracking.run_of(energy, SERVING),
        effective_from=datetime(2024, 1, 5, tzinfo=UTC),
        actor="Ada",
        reason="nothing was paused",
        evidence={},
        event_id="resume:by-hand",
    )
    assert contents.gather(energy, SERVING).digest != serving.digest
    found = verifying.against_records(serving.content, verifying.verify_content(serving.content))
    assert found.problems == ()


@pytest.mark.parametrize(
    "arguments",
    [
        ["energy"],
        [],
        ["--against-records"],
        ["energy", "1", "--verify", "a.zip"],
        ["energy", "1", "--as-of", "yesterday"],
        ["energy", "1", "--as-of", "2999-01-01"],
    ],
    ids=" ".join,
)
def test_arguments_that_mean_nothing_are_refused(arguments: list[str]) -> None:
    assert isinstance(CliRunner().invoke(app, ["dossier", *arguments]).exception, InvalidParams)
