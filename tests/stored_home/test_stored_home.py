"""A home that earlier code wrote: this code reads every record of it alike, and goes on where that code stopped."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import days
import facts
import pytest
from markupsafe import escape
from typer.testing import CliRunner

from perennial import dag_names, gate, lake, lake_cache, quarantine
from perennial.cli import app
from perennial.dossier import contents, verifying
from perennial.feature_changes import planning as feature_planning
from perennial.feature_store import parity
from perennial.gate import GateDecision, model_card, rollback, rollback_plan
from perennial.gate.rollback_plan import RollbackRequest
from perennial.ingestion import ingest
from perennial.lake.schemas import TABLES
from perennial.lake_cache import memory
from perennial.monitoring import revisions
from perennial.monitoring.verdict import HEALTHY, Verdict
from perennial.project import lake_records
from perennial.quarantine import review
from perennial.registry import ledger, provenance, retraining_requests, tracking
from perennial.registry.ledger import Entry
from perennial.reporting import overview
from perennial.reproduce import recipe, refit
from perennial.training import planning
from perennial.use_case import UseCase
from perennial.validation import results

FIRST, CHAMPION = 1, 4
LAST, NEXT = "2024-01-09", "2024-01-10"
PLACE = "/perennial/use_cases/energy"


# --- What is read. Nothing here writes to the home.


@pytest.mark.parametrize("fact", facts.ALL)
def test_a_fact_is_read_as_the_writer_read_it(energy: UseCase, expected: dict[str, Any], fact: str) -> None:
    written = expected[fact]
    if fact == facts.rows_of_records.__name__:  # Of tables that there were not yet, it has no rows.
        written = {f"energy.{name}": facts.NO_ROWS for name in TABLES} | written
    assert facts.as_json(facts.ALL[fact](energy)) == written


def test_records_are_the_same_without_the_cache(energy: UseCase, home: Path) -> None:
    names = [f"energy.{name}" for name in TABLES]
    cached = lake_cache.records(names)
    for file in home.glob("*.db"):
        if file.name != "online.db":
            file.unlink()
    memory.clear()
    assert lake_cache.records(names) == cached


@pytest.mark.parametrize("table", TABLES)
def test_cached_records_equal_the_rows_in_the_lake(energy: UseCase, table: str) -> None:
    name = f"energy.{table}"
    cached, rows = (
        [facts.as_json(row) for row in records] for records in (lake_cache.records([name])[name], lake.records(name))
    )
    assert sorted(map(json.dumps, cached)) == sorted(map(json.dumps, rows))


def test_the_status_command_names_the_champion(energy: UseCase) -> None:
    done = CliRunner().invoke(app, ["status", "energy", "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["champion"] == CHAMPION


def test_the_registry_names_the_ledgers_champion(energy: UseCase) -> None:
    registered = tracking.client().get_model_version_by_alias("energy", tracking.CHAMPION)
    assert int(registered.version) == CHAMPION


def test_quarantined_items_have_their_states(energy: UseCase) -> None:
    states = [item.state for item in quarantine.list_items(energy, states=None)]
    assert states == ["released", "discarded", "waiting", "superseded", "waiting"]


def test_every_retraining_request_is_handled(energy: UseCase) -> None:
    assert retraining_requests.open_requests(energy) == []


def test_training_for_a_handled_request_is_skipped(energy: UseCase) -> None:
    assert planning.plan_training(energy, "2024-01-08", {}).skip


@pytest.mark.parametrize("version", range(FIRST, CHAMPION + 1))
def test_each_version_has_a_dossier(energy: UseCase, version: int) -> None:
    made = contents.gather(energy, version)
    assert verifying.verify_content(made.content).is_intact
    assert {
        "decisions/ledger.json",
        "decisions/gate.json",
        "data/tables.json",
        "training/plan.json",
    } <= made.files.keys()
    # It is older than records of files, and its plots are not stored.
    files = {f"digests of the model files of v{version}", f"signature of the model of v{version}"}
    missing = {each.what for each in made.not_recorded}
    assert missing - {"service in production", "verdicts"} == {"plots", *files}


def test_a_training_run_finds_the_version_it_made(energy: UseCase) -> None:
    assert tracking.version_made_by(energy, "energy.training/2024-01-03") == FIRST


def test_no_verdict_is_revised_while_labels_are_the_same(energy: UseCase) -> None:
    assert revisions.revisit(energy, energy.partition(NEXT)) == []


def test_a_rollback_would_return_to_the_version_before(energy: UseCase) -> None:
    assert rollback_plan.plan(energy).version == FIRST


def test_no_feature_has_changed_or_is_to_be_recomputed(energy: UseCase) -> None:
    made = feature_planning.plan(timed=False)
    assert made.registry
    assert made.changes == ()
    assert [one.why for one in made.recomputations if one.why] == []
    assert made.widened == {}


def test_online_features_equal_those_of_the_lake(energy: UseCase) -> None:
    report = parity.check_online(energy)
    assert report.is_consistent
    assert [view.keys for view in report.views] == [12]


@pytest.mark.parametrize("day", ["2024-01-04", LAST])
def test_predictions_kept_the_features_of_their_snapshots(energy: UseCase, day: str) -> None:
    assert parity.check_logged(energy, energy.partition(day)).is_consistent


@pytest.mark.parametrize("version", [1, 2, 3, 4])
def test_a_version_is_reproduced_to_the_bit(energy: UseCase, version: int) -> None:
    reproduction = refit.reproduce(energy, version)
    differing = {part.name for part in reproduction.parts if not part.equal}
    assert not differing & {"data", "stored file"}, reproduction
    if on_the_same_processor(energy):
        # Processors of one name may still round the last bit otherwise.
        (predictions,) = (part for part in reproduction.parts if part.name == "predictions")
        off = re.search(r"differ, by (\S+) at most", predictions.findings[0])
        assert predictions.equal or (off and float(off[1]) < 1e-12), predictions


@pytest.mark.parametrize("version", [1, 2, 3, 4])
def test_a_model_card_is_written_again_from_the_records(energy: UseCase, version: int) -> None:
    card = model_card.render(energy, version)[model_card.MARKDOWN]
    data = recipe.read(energy, version).data
    assert data.digest in card
    for name in ("meter_last", "meter_mean_24h", "hour_sin", "hour_cos"):
        assert name in card


# --- Pages.


def test_the_fleet_page_shows_the_champion_and_its_metric(energy: UseCase, expected: dict[str, Any]) -> None:
    from perennial.pages import fleet

    (seen,) = overview.overviews([energy])
    text = shown("fleet", **fleet.view([fleet.Fact("energy", seen, pipelines=airflow())], 1))
    assert f'href="{PLACE}/versions/{CHAMPION}"' in text
    assert number(expected["overview_of_use_case"][1][2]) in text


def test_the_use_case_page_shows_metrics_and_decisions(energy: UseCase, expected: dict[str, Any]) -> None:
    from perennial.pages import use_case as page

    view = page.view(energy, page.records(energy), page.Activity(airflow()))
    text = shown("use_case", **view, may=frozenset(), done=None)
    for _, *_, metric, _, _, verdict in expected["status_of_partitions"]:
        assert metric is None or number(metric) in text
        assert verdict is None or verdict in text
    for entry in expected["ledger_entries"]:
        assert str(escape(entry["reason"])) in text


@pytest.mark.parametrize("day", ["2024-01-02", "2024-01-06", LAST, NEXT])
def test_a_partition_page_shows_its_verdict_and_metrics(energy: UseCase, expected: dict[str, Any], day: str) -> None:
    from perennial.pages import partition as page

    partition = energy.partition(day)
    text = shown("partition", **page.view(energy, partition, page.records(energy), page.predictions(energy, partition)))
    (metric,) = [row[5] for row in expected["status_of_partitions"] if row[0] == day]
    assert metric is None or number(metric) in text
    for row in expected["verdicts"]:
        assert row[0] != day or str(escape(row[6])) in text


@pytest.mark.parametrize("version", [1, 2, 3, 4])
def test_a_version_page_shows_decision_and_training_set(energy: UseCase, expected: dict, version: int) -> None:
    from perennial.pages import version as page
    from perennial.pages import version_training
    from perennial.registry import mlflow_records

    run = mlflow_records.quick.run_of("energy", version)
    made, problem = version_training.of(energy, run)
    registered = page.RequestedVersion(energy, version, tuple(ledger.entries(energy)), run)
    records = {name: lake.records(f"energy.{name}") for name in ("metrics", "verdicts")}
    view = page.view(registered, records["metrics"], records["verdicts"], made, problem)
    text = shown("version", **view, made_by=None, airflow_run=None, may_roll_back=False)
    assert not problem
    assert expected["training_sets"][str(version)][0] in text
    (reason,) = [entry["reason"] for entry in expected["ledger_entries"] if entry["event_id"] == f"gate:{version}"]
    assert str(escape(reason)) in text


@pytest.mark.parametrize("day", [days.SPOILED_DAY, NEXT])
def test_a_quarantine_page_shows_every_item(energy: UseCase, expected: dict[str, Any], day: str) -> None:
    from perennial.pages import quarantine as page

    partition = energy.partition(day)
    text = shown("quarantine", **page.view(energy, partition, quarantine.list_items(energy, partition, None)))
    for key, _, item, *_ in expected["quarantined_items"]:
        assert (f"<code>{item}</code>" in text) == (key == day)


def test_a_validation_page_shows_every_expectation(energy: UseCase) -> None:
    from perennial.pages import validation as page

    rows = results.of_partition(energy, energy.partition(LAST))
    readings = next(row for row in rows if row["table"] == "readings")
    text = shown("validation", **page.view(energy, LAST, rows, readings["validation"]))
    for result in readings["result"]["results"]:
        assert str(escape(result["expectation_config"]["type"])) in text


def test_a_verdict_leads_to_its_drift_report(energy: UseCase) -> None:
    from perennial.registry import mlflow_records

    (row,) = lake.records("energy.verdicts", between=(LAST, LAST))
    report = mlflow_records.quick.artifact(mlflow_records.run_id_in(row["report"]) or "", "drift.html")
    assert report is not None
    assert b"meter_mean_24h" in report


# --- What goes on. From here on the home is written to; tests that need an earlier step ask for it.


@pytest.fixture(scope="module")
def next_day(energy: UseCase) -> Verdict:
    """The day whose first batch was refused, with a whole batch."""
    return days.run_day(energy, NEXT)


@pytest.fixture(scope="module")
def retrained(energy: UseCase, next_day: Verdict) -> GateDecision:
    """A challenger trained on the newest days, after a person has let automatic promotion go on."""
    request = RollbackRequest(action="resume", reason="seen for a day")
    rollback.resume(energy, request, made_by="energy.champion/later__1", actor="grace")
    return days.retrain(energy, None, "energy.training/later__1")


@pytest.fixture(scope="module")
def rolled_back(energy: UseCase, retrained: GateDecision) -> Entry:
    """The first model serves again."""
    request = RollbackRequest(to=FIRST, reason="the world has moved back")
    return rollback.roll_back(energy, request, made_by="energy.champion/later__2", actor="ada")


def test_a_decided_version_is_not_decided_on_again(energy: UseCase) -> None:
    before = ledger.entries(energy)
    for entry in ledger.decisions(energy):
        again = gate.finalize(energy, GateDecision(**entry.evidence))
        assert (again.challenger, again.promote) == (entry.model_version, entry.action == "promoted")
    assert ledger.entries(energy) == before


def test_running_a_day_again_changes_no_record(energy: UseCase) -> None:
    if not on_the_same_processor(energy):
        pytest.skip("another processor may round otherwise")
    tables = ("readings", "meter_history", "examples", "predictions", *TABLES)
    # What came after the home was written is recorded once: files of a version that is loaded, and a publication.
    others = ("drift", "verdicts", "metrics", "model_files", "publications")
    names = [f"energy.{name}" for name in tables if name not in others]
    before = lake.snapshots(names), facts.without_words("energy.drift"), facts.without_words("energy.verdicts")
    measured = newest_metrics()
    assert days.run_day(energy, LAST).verdict == HEALTHY
    after = lake.snapshots(names), facts.without_words("energy.drift"), facts.without_words("energy.verdicts")
    assert after == before
    # Processors of one name may still round the last bit otherwise.
    assert newest_metrics() == pytest.approx(measured, rel=1e-12)


def newest_metrics() -> dict[tuple[int, str, str], float]:
    rows = sorted(lake.records("energy.metrics", between=(LAST, LAST)), key=lambda row: row["recorded_at"])
    return {(row["model_version"], row["role"], row["metric"]): row["value"] for row in rows}


def test_a_row_in_quarantine_is_released_and_enters(energy: UseCase) -> None:
    partition, value = energy.partition(days.SPOILED_DAY), days.SPOILED[2]
    item = days.quarantined_rows(energy, partition.key)[value]
    outcome = review.release(energy, partition, actor="ada", reason="seen", named=[item], accept=[days.TOO_HIGH])
    assert [one.item for one in outcome.decided] == [item]
    with days.spoiled_source(energy):
        assert ingest.ingest_partition(energy, partition)["released"] == 2
    values = lake.read("energy.readings", partitions=[partition.key])["kwh"].to_pylist()
    assert (days.SPOILED[0] in values, days.SPOILED[1] in values, value in values) == (True, False, True)


def test_a_batch_refused_before_is_refused_as_the_same_item(energy: UseCase, expected: dict[str, Any]) -> None:
    days.refuse_batch(energy, NEXT)
    items = [row[2] for row in facts.quarantined_items(energy) if row[0] == NEXT]
    assert items == [row[2] for row in expected["quarantined_items"] if row[0] == NEXT]


def test_the_next_day_is_scored_by_the_champion(energy: UseCase, next_day: Verdict) -> None:
    rows = lake.records("energy.predictions", between=(NEXT, NEXT))
    assert len(rows) == 288
    assert {row["model_version"] for row in rows} == {CHAMPION}
    assert next_day.verdict == HEALTHY


def test_the_next_day_supersedes_the_refused_batch(energy: UseCase, next_day: Verdict) -> None:
    assert [item.state for item in quarantine.list_items(energy, energy.partition(NEXT), None)] == ["superseded"]


def test_the_next_day_is_compared_with_the_first_model(energy: UseCase, next_day: Verdict) -> None:
    rows = [row for row in lake.records("energy.metrics", between=(NEXT, NEXT)) if row["metric"] == "rmse"]
    assert {row["role"]: row["model_version"] for row in rows} == {"champion": CHAMPION, "first": FIRST}


def test_retraining_registers_and_decides_on_a_version(energy: UseCase, retrained: GateDecision) -> None:
    assert (retrained.challenger, retrained.champion) == (CHAMPION + 1, CHAMPION)
    entry = ledger.decision_on(ledger.entries(energy), retrained.challenger)
    assert entry is not None
    assert entry.action == ("promoted" if retrained.promote else "rejected")


def test_a_rollback_returns_to_the_first_version(energy: UseCase, rolled_back: Entry) -> None:
    assert (rolled_back.action, rolled_back.model_version) == ("rolled-back", FIRST)
    assert ledger.champion(energy) == rolled_back
    alias = tracking.client().get_model_version_by_alias("energy", tracking.CHAMPION)
    assert int(alias.version) == FIRST


def test_an_upgrade_adds_columns_and_keeps_records(energy: UseCase) -> None:
    before = {name: lake.records(f"energy.{name}") for name in TABLES}
    assert set(lake_records.missing_columns()) <= {f"energy.{name}" for name in TABLES}
    lake_records.add_columns()
    assert lake_records.missing_columns() == {}
    for name, rows in before.items():
        kept = [
            {column: row[column] for column in old}
            for old, row in zip(rows, lake.records(f"energy.{name}"), strict=True)
        ]
        assert kept == rows


def on_the_same_processor(energy: UseCase) -> bool:
    """Whether the home was written on a processor of this model: others may round the last bit otherwise."""
    recorded = recipe.read(energy, FIRST).provenance
    return recorded is not None and recorded.environment.processor == provenance.environment().processor


def airflow() -> dict[str, Any]:
    """All pipelines, known to Airflow and idle."""
    from perennial.pages.airflow_state import Pipeline

    return {name: Pipeline(name, f"energy.{name}", known=True) for name in dag_names.ALL}


def shown(template: str, **view: Any) -> str:
    from perennial.pages import layout

    return layout.render(template, **view)


def number(value: float) -> str:
    """A metric as pages show it."""
    from perennial.pages import layout

    return layout.value(value)
