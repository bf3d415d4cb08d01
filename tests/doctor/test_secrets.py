"""What the doctor must not show: secrets, whatever goes wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from examined import Examine, by_name

from perennial.doctor import Check, Finding, examine


def test_no_secret_is_shown_whatever_goes_wrong(home: Path, examine_with: Examine) -> None:
    from perennial.services.credentials import login

    generated = login().password
    secrets = {
        "PERENNIAL_DATABASE": "postgresql://ada:correct-horse@127.0.0.1:9/x?sslpassword=clear-as-day",
        "PERENNIAL_ONLINE_STORE": "redis://:battery%2Dstaple@127.0.0.1:9/0",
        "PERENNIAL_MLFLOW_URI": "http://grace:top-secret@127.0.0.1:9",
        "PERENNIAL_CATALOG": '{"type": "rest", "uri": "http://joan:hush-hush@127.0.0.1:9", "token": "very-private"}',
        "MLFLOW_TRACKING_PASSWORD": "for-mlflow-only",
    }
    findings = examine_with(**secrets)
    text = json.dumps([vars(finding) for finding in findings.values()])
    for secret in (
        *("correct-horse", "clear-as-day", "battery", "top-secret", "hush-hush", "very-private", "for-mlflow-only"),
        generated,
    ):
        assert secret not in text, secret


def test_a_secret_in_a_message_is_hidden(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_TOKEN", "abc-def-ghi")

    def talkative() -> Iterator[Finding]:
        raise RuntimeError("cannot use abc-def-ghi\nat postgresql://ada:correct-horse@host/x")
        yield

    (finding,) = by_name(examine((Check("Servers", "Talkative", talkative),))).values()
    assert finding.state == "failed"
    assert finding.message == "the check itself failed: RuntimeError: cannot use *** at postgresql://***@host/x"
