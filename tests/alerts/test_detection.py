"""Detection on a real lake: what is opened, closed and left alone, whatever cannot be read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pytest

from perennial import discovery, lake, lake_cache, quarantine
from perennial.alerts import airflow_findings, detection, incidents, machine_findings, record_findings
from perennial.alerts.incidents import INSTALLATION
from perennial.errors import DamagedFile, PerennialError
from perennial.ingestion import ingest
from perennial.quarantine import review
from perennial.use_case import UseCase

DAY = "2024-01-05"


@pytest.fixture(scope="module")
def refused(project) -> Iterator[UseCase]:  # type: ignore[no-untyped-def]
    """The use case `energy`, of which a row is in quarantine; no Airflow runs."""
    energy = discovery.load("energy")
    module = energy.module("source")
    rows = module.readings(energy.partition(DAY))
    kwh = pa.array([5000.0, *rows["kwh"].to_pylist()[1:]])
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "readings", lambda partition: rows.set_column(3, "kwh", kwh))
        patched.setattr(airflow_findings, "PATIENCE", 0.1)
        ingest.ingest_partition(energy, energy.partition(DAY))
        yield energy


def told(use_case: str = "energy") -> dict[str, str]:
    """By reason, the state of the newest incident."""
    return {each.first.reason: each.state for each in incidents.of([use_case])[use_case]}


def test_what_is_wrong_is_opened_once(refused: UseCase) -> None:
    found = detection.update("energy")
    assert {each.reason for each in found.events} == {"quarantine", "overdue"}
    assert told() == {"quarantine": "open", "overdue": "open"}
    snapshot = lake.snapshot(incidents.table("energy"))
    assert detection.update("energy").events == ()
    assert lake.snapshot(incidents.table("energy")) == snapshot


def test_a_service_that_does_not_answer_is_named(refused: UseCase) -> None:
    unread = detection.update("energy").unread
    assert "did not answer" in unread["Airflow"]
    assert set(unread) == {"Airflow", "prediction server"}


def test_findings_are_told_without_being_recorded(refused: UseCase) -> None:
    assert {each.reason for each in detection.findings("energy")} == {"quarantine", "overdue"}


def test_a_source_that_fails_closes_nothing_and_hides_no_other(
    refused: UseCase, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise KeyError("a record of another release")

    monkeypatch.setattr(record_findings, "read", fails)
    monkeypatch.setattr(machine_findings, "read", fails)
    found = detection.update()
    assert found.events == ()
    assert {"records of energy", "disks"} <= set(found.unread)
    assert told() == {"quarantine": "open", "overdue": "open"}


def test_a_detector_that_is_killed_before_or_after_its_commit_loses_and_doubles_nothing(
    refused: UseCase, monkeypatch: pytest.MonkeyPatch
) -> None:
    append = lake.append_missing

    def killed(*arguments: object, after: bool, **more: object) -> None:
        if after:
            append(*arguments, **more)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    (item,) = quarantine.list_items(refused, refused.partition(DAY), None)
    review.discard(refused, refused.partition(DAY), named=[item.item], actor="ann", reason="a broken meter")
    for after, state in ((False, "open"), (True, "closed")):
        with monkeypatch.context() as patched:
            patched.setattr(lake, "append_missing", lambda *a, after=after, **m: killed(*a, after=after, **m))
            with pytest.raises(KeyboardInterrupt):
                detection.update("energy")
        assert told()["quarantine"] == state
    assert detection.update("energy").events == ()
    (closed,) = [each for each in incidents.of(["energy"])["energy"] if not each.is_open]
    assert [each.event for each in closed.events] == ["opened", "closed"]
    assert "nothing of 2024-01-05 is pending review" in closed.latest.note


def test_a_damaged_table_of_incidents_is_named_and_hides_no_other(
    refused: UseCase, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = lake_cache.records

    def damaged(tables: Sequence[str], *more: object) -> object:
        if incidents.table(INSTALLATION) in tables:
            raise DamagedFile("A file of the table is damaged.", "Restore it.")
        return read(tables, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(lake_cache, "records", damaged)
    found = detection.update()
    assert found.unread["incidents of the installation"] == "A file of the table is damaged. Restore it."
    assert told()["overdue"] == "open"


def test_a_damaged_file_of_retirement_is_an_incident(refused: UseCase, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> None:
        raise PerennialError(f"include/use_cases/{name}/retired.toml cannot be read", "Delete it.")

    monkeypatch.setattr(discovery, "retirement", broken)
    known = incidents.of([INSTALLATION])[INSTALLATION]
    declared, reading = detection._declarations(["energy"], known)
    assert not declared
    assert [each.about for each in reading.findings] == [("declaration", "energy")]


def test_a_use_case_that_cannot_be_read_is_an_incident_of_the_installation(
    refused: UseCase, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = discovery.load

    def broken(name: str) -> UseCase:
        if name == "energy":
            raise PerennialError("include/use_cases/energy/use_case.py, line 1: SyntaxError", "Correct it.")
        return load(name)

    with monkeypatch.context() as patched:
        patched.setattr(discovery, "load", broken)
        detection.update()
    assert told(INSTALLATION)["declaration"] == "open"
    assert told()["overdue"] == "open", "what is known of it stays"
    detection.update()
    assert told(INSTALLATION)["declaration"] == "closed"


def test_a_retired_use_case_has_no_open_incident(refused: UseCase, monkeypatch: pytest.MonkeyPatch) -> None:
    retired = discovery.Retirement("2026-01-01", "ann", "replaced")
    with monkeypatch.context() as patched:
        patched.setattr(discovery, "retirement", lambda name: retired)
        detection.update("energy")
        assert set(told().values()) == {"closed"}
        assert detection.update("energy").events == ()
    detection.update("energy")
    assert [each.state for each in incidents.of(["energy"])["energy"]] == ["closed", "closed", "open"]
