"""What the doctor says of the log of predictions: whether it gets into the lake, and what was set aside."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from examined import Examine
from logged import prediction, shape

from perennial.served_predictions.writing import PredictionLog

NAME = "Log of predictions"


@pytest.fixture
def log(home: Path) -> Iterator[PredictionLog]:
    """The log of this home, in which nothing is."""
    made = PredictionLog(home / "serving_log")
    yield made
    made.close()
    shutil.rmtree(made.folder, ignore_errors=True)


def test_before_the_first_prediction_there_is_none(examine_with: Examine, log: PredictionLog) -> None:
    assert examine_with(NAME)[NAME].state == "not applicable"


def test_what_waits_for_a_minute_is_well(examine_with: Examine, log: PredictionLog) -> None:
    log.append(shape(), [prediction(datetime.now(UTC))])
    found = examine_with(NAME)[NAME]
    assert (found.state, found.message) == ("passed", "1 predictions wait for the lake")


def test_what_waits_for_long_is_a_warning(examine_with: Examine, log: PredictionLog) -> None:
    log.append(shape(), [prediction(datetime.now(UTC) - timedelta(hours=1)), prediction(datetime.now(UTC))])
    found = examine_with(NAME)[NAME]
    assert found.state == "warning"
    assert found.message.startswith("2 predictions since ")


def test_damaged_files_are_a_warning(examine_with: Examine, log: PredictionLog) -> None:
    log.append(shape(), [prediction(datetime.now(UTC))])
    log.close()
    (path,) = log.folder.glob("*.segment")
    path.rename(f"{path}.aside")
    found = examine_with(NAME)[NAME]
    assert (found.state, found.message[:31]) == ("warning", "1 of its files were set aside a")
