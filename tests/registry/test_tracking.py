"""MLflow out of reach, and how it is signed in to."""

from __future__ import annotations

import os
import socket

import pytest

from perennial import discovery
from perennial.errors import ServiceUnavailable
from perennial.registry import model_loading, tracking
from perennial.services import credentials
from perennial.settings import settings


@pytest.fixture
def nobody_listens(monkeypatch: pytest.MonkeyPatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    monkeypatch.setenv("PERENNIAL_MLFLOW_URI", address)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    settings.cache_clear()
    yield address
    monkeypatch.undo()
    settings.cache_clear()


def test_no_answer_names_the_server_and_the_fix(nobody_listens: str) -> None:
    with pytest.raises(ServiceUnavailable, match=rf"{nobody_listens} does not answer(.|\n)*perennial up"):
        model_loading.load(discovery.load("flights"), 1)


def test_no_answer_during_a_run_is_reported_the_same_way(nobody_listens: str) -> None:
    with (
        pytest.raises(ServiceUnavailable, match="does not answer"),
        tracking.run(discovery.load("flights"), "training", "somebody", "name"),
    ):
        pass


def test_the_embedded_server_is_asked_with_the_generated_login(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERENNIAL_HOME", str(tmp_path))
    for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
        # Set first, so that what is set in between is gone afterwards.
        monkeypatch.setenv(name, "nobody")
        monkeypatch.delenv(name)
    settings.cache_clear()
    tracking.client()
    assert "MLFLOW_TRACKING_USERNAME" not in os.environ, "without `perennial up` there is no login to use"
    generated = credentials.login()
    tracking.client()
    signed_in = (os.environ["MLFLOW_TRACKING_USERNAME"], os.environ["MLFLOW_TRACKING_PASSWORD"])
    assert signed_in == (generated.user, generated.password)
    monkeypatch.undo()
    settings.cache_clear()
