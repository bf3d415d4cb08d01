"""Stored models in a process of their own: one that works, and ones that only look as if they did."""

from __future__ import annotations

import os
import shutil
import signal
import time
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import psutil
import pytest
from sklearn.linear_model import LogisticRegression

from perennial import discovery
from perennial.errors import ServiceUnavailable
from perennial.gate import smoke

FLIGHTS = discovery.load("flights")
FEATURES = pd.DataFrame({"a": np.linspace(-1, 1, 50), "b": np.linspace(0, 1, 50) ** 2})
MODEL = LogisticRegression().fit(FEATURES, np.arange(50) % 3 == 0)


def predict(frame: pd.DataFrame) -> np.ndarray:
    return MODEL.predict_proba(frame)[:, 1]


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stored") / "model"
    mlflow.sklearn.save_model(
        MODEL,
        folder,
        serialization_format="skops",
        input_example=FEATURES.head(5),
        pip_requirements=["scikit-learn"],
        pyfunc_predict_fn="predict_proba",
    )
    return folder


def test_sound_model_predicts_the_same_and_is_measured(stored: Path) -> None:
    with smoke.started() as test:
        test.begin(str(stored))
        smoked = test.result(FLIGHTS, predict)
    assert smoked.passed, smoked.note
    assert smoked.measured["size_bytes"] == sum(file.stat().st_size for file in stored.rglob("*") if file.is_file())
    assert 0 < smoked.measured["latency_seconds"] < 5
    assert smoked.measured["rows_per_second"] > 100


def test_a_model_that_predicts_something_else_elsewhere_fails(stored: Path) -> None:
    with smoke.started() as test:
        test.begin(str(stored))
        smoked = test.result(FLIGHTS, lambda frame: predict(frame) + 1e-6)
    assert not smoked.passed
    assert "where this process predicts" in smoked.note


def test_a_model_that_does_not_load_fails_with_its_last_words(stored: Path, tmp_path: Path) -> None:
    broken = tmp_path / "model"
    shutil.copytree(stored, broken)
    (broken / "model.skops").write_bytes((broken / "model.skops").read_bytes()[:100])
    with smoke.started() as test:
        test.begin(str(broken))
        smoked = test.result(FLIGHTS, predict)
    assert not smoked.passed
    assert "BadZipFile" in smoked.note
    assert smoked.measured.keys() == {"size_bytes"}


def test_a_model_that_takes_for_ever_fails(stored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smoke, "TIMEOUT", 0.2)
    with smoke.started() as test:
        test.begin(str(stored))
        assert test.result(FLIGHTS, predict).note == "no answer in 0 s"


def test_process_ended_from_outside_is_no_verdict_on_the_model(stored: Path) -> None:
    with smoke.started() as test:
        test.begin(str(stored))
        os.kill(test._libraries.process.pid, signal.SIGKILL)
        with pytest.raises(ServiceUnavailable, match="ended from outside"):
            test.result(FLIGHTS, predict)


def test_a_test_that_was_not_waited_for_is_ended(stored: Path) -> None:
    with smoke.started() as test:
        process = test._libraries.process
        test.begin(str(stored))
    assert process.poll() is not None


def test_the_next_model_is_tested_by_the_same_process(stored: Path) -> None:
    pids = []
    for _ in range(2):
        with smoke.started() as test:
            pids.append(test._libraries.process.pid)
            test.begin(str(stored))
            assert test.result(FLIGHTS, predict).passed
    assert pids[0] == pids[1]


def test_it_has_the_variables_of_now(monkeypatch: pytest.MonkeyPatch) -> None:
    with smoke.started() as before:
        pass
    monkeypatch.setenv("PYTHONPATH", "elsewhere")
    with smoke.started() as test:
        assert test._libraries.process.pid != before._libraries.process.pid
    assert before._libraries.process.poll() is not None


def test_two_at_once_have_a_process_each(stored: Path) -> None:
    with smoke.started() as one, smoke.started() as other:
        for test in (one, other):
            test.begin(str(stored))
        assert one._libraries.process.pid != other._libraries.process.pid
        assert all(test.result(FLIGHTS, predict).passed for test in (one, other))


def test_its_process_ends_with_the_one_that_asks() -> None:
    libraries = smoke._Libraries()
    libraries.process.stdin.close()  # As the kernel does.
    assert libraries.process.wait(timeout=60) == 0
    libraries.end()


def test_what_it_runs_ends_with_it(stored: Path, tmp_path: Path) -> None:
    fifo = tmp_path / "log"
    os.mkfifo(fifo)  # The test opens it, and waits for a reader for ever.
    libraries = smoke._Libraries()
    libraries.ask(folder=str(stored), result=str(tmp_path / "result"), log=str(fifo))
    children = psutil.Process(libraries.process.pid).children
    deadline = time.monotonic() + 60
    while not children():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    [child] = children()
    libraries.end()
    child.wait(timeout=30)
