"""`perennial audit`, and what the command line records."""

from __future__ import annotations

import getpass
import json
import platform
from pathlib import Path

import pytest
from typer.testing import CliRunner

from perennial.cli import app, audit
from perennial.registry import audit_log


def shown(*words: str) -> str:
    done = CliRunner().invoke(app, ["audit", *words])
    assert done.exit_code == 0, done.output
    return done.output


def test_nothing_was_done_yet(home: Path) -> None:
    assert shown() == "Nobody did anything that is recorded.\n"


def test_a_command_is_recorded_with_its_outcome(home: Path) -> None:
    audit.record(["rollback", "energy", "--reason", "too low"], 0)
    audit.record(["quarantine", "discard", "energy", "--partition", "2024-01-01", "--reason=broken"], 1)
    audit.record(["apply", "--yes"], 3)
    found = json.loads(shown("--json"))
    assert [(each["act"], each["use_case"], each["reason"], each["outcome"]) for each in found] == [
        ("perennial rollback energy --reason too low", "energy", "too low", "done"),
        ("perennial quarantine discard energy --partition 2024-01-01 --reason=broken", "energy", "broken", "failed"),
        ("perennial apply --yes", "", "", "refused"),
    ]
    assert {(each["actor"], each["address"]) for each in found} == {(getpass.getuser(), platform.node())}
    assert "too low" in shown("energy")
    assert "apply" not in shown("energy", "--since", "7d")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["status"], 0),
        (["apply", "--dry-run"], 0),
        (["retire", "--help"], 0),
        (["rollback", "nothing"], 2),
        (["quarantine", "list", "energy"], 0),
        ([], 2),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else str(value),
)
def test_what_changes_nothing_is_not_recorded(words: list[str], code: int, monkeypatch) -> None:
    monkeypatch.setattr(audit_log, "record", lambda act: pytest.fail(f"recorded {act}"))
    audit.record(words, code)


def test_that_it_cannot_be_recorded_is_said(monkeypatch, capsys) -> None:
    monkeypatch.setattr(audit_log, "record", lambda act: "The lake is away.")
    audit.record(["apply"], 0)
    assert capsys.readouterr().err == "Not in the audit log: The lake is away.\n"
