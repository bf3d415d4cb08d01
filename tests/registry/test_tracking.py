"""MLflow out of reach, and models that must not be loaded."""

from __future__ import annotations

import os
import socket

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from perennial import discovery
from perennial.errors import PerennialError, ServiceUnavailable
from perennial.registry import tracking
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
        tracking.load(discovery.load("flights"), 1)


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


@pytest.mark.parametrize(
    ("flavor", "message"),
    [
        ({"serialization_format": "cloudpickle"}, "is stored as cloudpickle"),
        ({}, "something else than a scikit-learn model"),
        ({"serialization_format": "skops", "skops_trusted_types": ["os.system"]}, "not trusted: os.system"),
    ],
)
def test_a_model_that_could_run_code_is_refused(flavor: dict, message: str) -> None:
    with pytest.raises(PerennialError, match=message):
        tracking._insist_on_trust(discovery.load("flights"), 1, flavor)


def test_a_model_of_declared_types_is_trusted() -> None:
    use_case = discovery.load("flights")
    flavor = {"serialization_format": "skops", "skops_trusted_types": list(use_case.trusted_types)}
    tracking._insist_on_trust(use_case, 1, flavor)


def test_probabilities_are_doubles_whatever_the_estimator_gives() -> None:
    frame = pd.DataFrame({"x": np.arange(20, dtype=np.float32)})
    model = LogisticRegression().fit(frame, frame["x"] > 9)
    assert model.predict_proba(frame).dtype == np.float32
    assert tracking.predictor(discovery.load("flights"), model)(frame).dtype == np.float64
