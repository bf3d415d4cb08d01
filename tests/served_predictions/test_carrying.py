"""From the log into the lake: each prediction once, whatever is cut off, damaged, away or killed."""

from __future__ import annotations

import logging
import os
import stat
import subprocess
import sys
import tempfile
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pytest
from another_user import as_nobody
from logged import NOON, prediction, shape

from perennial import lake
from perennial.errors import ServiceUnavailable, UnknownUseCase
from perennial.served_predictions import carrying, segments, table
from perennial.served_predictions.records import Shape
from perennial.served_predictions.writing import PredictionLog
from perennial.use_case import UseCase


@pytest.fixture(autouse=True)
def _stores(home: Path) -> None:
    """An empty lake."""


@pytest.fixture
def use_case(energy: UseCase) -> UseCase:
    """A use case without any table."""
    return energy.model_copy(update={"name": f"e{uuid.uuid4().hex[:8]}"})


@pytest.fixture
def log(tmp_path: Path) -> PredictionLog:
    return PredictionLog(tmp_path / "log")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "log"


class Carried:
    """Carries for one use case."""

    def __init__(self, folder: Path, use_case: UseCase) -> None:
        self.folder, self.use_case = folder, use_case

    def __call__(self) -> int:
        return carrying.carry(self.folder, self.load)

    def load(self, name: str) -> UseCase:
        if name != self.use_case.name:
            raise UnknownUseCase(f"There is no use case {name!r}.")
        return self.use_case

    def ids(self, *days: str) -> list[str]:
        return sorted(
            each["prediction_id"]
            for day in days or ("2024-01-05",)
            for each in (table.read(self.use_case, day) or pa.table({"prediction_id": []})).to_pylist()
        )


@pytest.fixture
def carry(folder: Path, use_case: UseCase) -> Carried:
    return Carried(folder, use_case)


def ids(*predictions: Any) -> list[str]:
    return sorted(each.prediction_id for each in predictions)


def test_nothing_is_carried_from_no_log(carry: Carried) -> None:
    assert carry() == 0
    assert not carry.folder.exists()


def test_what_is_being_written_is_carried_as_far_as_it_is(carry: Carried, log: PredictionLog) -> None:
    several = [prediction() for _ in range(5)]
    log.append(shape(carry.use_case.name), several[:3])
    assert carry() == 3
    assert carry() == 0
    log.append(shape(carry.use_case.name), several[3:])
    assert carrying.backlog(carry.folder).records == 2
    assert carry() == 2
    assert carry.ids() == ids(*several)
    assert len(segments.paths(carry.folder)) == 1


def test_a_segment_that_has_ended_is_deleted(carry: Carried, log: PredictionLog) -> None:
    log.append(shape(carry.use_case.name), [each := prediction()])
    log.close()
    assert carry() == 1
    assert segments.paths(carry.folder) == []
    assert carry.ids() == ids(each)


def test_all_of_a_prediction_arrives(carry: Carried, log: PredictionLog) -> None:
    log.append(
        shape(carry.use_case.name),
        [each := prediction(missing={"x": "expired"}, shadow_of="other", prediction_lower=1.0)],
    )
    carry()
    (row,) = table.read(carry.use_case, "2024-01-05").to_pylist()
    assert row == {
        "prediction_lower": 1.0,
        "prediction_upper": None,
        "partition": "2024-01-05",
        "site": "s",
        "meter": "m",
        "read_at": NOON,
        "x": 1.5,
        "prediction_id": each.prediction_id,
        "event_timestamp": NOON,
        "answered_at": NOON,
        "prediction": 2.5,
        "error": None,
        "model_version": 3,
        "model_run": "run",
        "served_as": "champion",
        "shadow_of": "other",
        "missing": '{"x": "expired"}',
        "latency_ms": 1.25,
        "caller": "token:test",
    }


def test_predictions_go_to_the_partitions_of_their_moments(carry: Carried, log: PredictionLog) -> None:
    log.append(shape(carry.use_case.name), [prediction(NOON + timedelta(days=day)) for day in (0, 3, 0)])
    assert carry() == 3
    assert lake.partitions(carry.use_case.tables.served_predictions) == ["2024-01-05", "2024-01-08"]


def test_carrying_twice_at_once_carries_once(carry: Carried, log: PredictionLog) -> None:
    several = [prediction() for _ in range(50)]
    log.append(shape(carry.use_case.name), several)
    with ThreadPoolExecutor(3) as pool:
        assert sum(pool.map(lambda _: carry(), range(3))) == 50
    assert carry.ids() == ids(*several)


@pytest.mark.parametrize("ended", [True, False])
def test_what_was_carried_is_not_appended_again(carry: Carried, log: PredictionLog, ended: bool) -> None:
    """Killed between the commit and what follows it: the segment is there as if it had not been carried."""
    several = [prediction() for _ in range(4)]
    log.append(shape(carry.use_case.name), several)
    if ended:
        log.close()
    (path,) = segments.paths(carry.folder)
    before = path.read_bytes()
    assert carry() == 4
    if ended:
        path.write_bytes(before)
    (carry.folder / "carried.json").unlink()
    assert carry() == 0
    assert carry.ids() == ids(*several)


def test_damaged_notes_of_progress_cost_nothing(carry: Carried, log: PredictionLog) -> None:
    log.append(shape(carry.use_case.name), [each := prediction()])
    carry()
    for content in (b"", b"{", b"[]", b"\xff"):
        (carry.folder / "carried.json").write_bytes(content)
        assert carry() == 0
    assert carry.ids() == ids(each)


def test_half_a_record_at_the_end_is_reported(
    carry: Carried, log: PredictionLog, caplog: pytest.LogCaptureFixture
) -> None:
    for each in (several := [prediction() for _ in range(3)]):
        log.append(shape(carry.use_case.name), [each])
    log.close()
    (path,) = segments.paths(carry.folder)
    path.write_bytes(path.read_bytes()[:-7])
    assert carry() == 2
    assert carry.ids() == ids(*several[:2])
    assert "half a record" in caplog.text
    assert segments.paths(carry.folder) == []


def test_damage_is_set_aside_and_all_else_carried(
    carry: Carried, log: PredictionLog, caplog: pytest.LogCaptureFixture
) -> None:
    several = [prediction() for _ in range(3)]
    for each in several:
        log.append(shape(carry.use_case.name), [each])
    (path,) = segments.paths(carry.folder)
    content = bytearray(path.read_bytes())
    broken = segments.scan(bytes(content), segments.salt_of(path.name)).frames[2]
    content[broken.end - 3] ^= 0xFF
    path.write_bytes(content)
    assert carry() == 1, "while it is written nobody knows whether this is damage"
    assert "damaged" not in caplog.text
    log.close()
    assert carry() == 1
    assert carry.ids() == ids(several[0], several[2])
    assert f"bytes {broken.start} to {broken.end} are damaged" in caplog.text
    assert segments.paths(carry.folder) == []
    (aside,) = carry.folder.glob("*.aside")
    assert aside.read_bytes() == content
    assert carrying.backlog(carry.folder).set_aside == 1


def test_predictions_whose_types_are_lost_are_set_aside(carry: Carried, log: PredictionLog) -> None:
    log.append(shape(carry.use_case.name), [prediction()])
    other = Shape.of(carry.use_case.name, pa.schema({"y": pa.int64()}))
    log.append(other, [each := prediction(values=[7])])
    log.close()
    (path,) = segments.paths(carry.folder)
    content = bytearray(path.read_bytes())
    content[20] ^= 0xFF
    path.write_bytes(content)
    assert carry() == 1
    assert carry.ids() == ids(each)
    assert len(list(carry.folder.glob("*.aside"))) == 1


def test_one_use_case_does_not_hold_up_another(
    carry: Carried, log: PredictionLog, caplog: pytest.LogCaptureFixture
) -> None:
    log.append(shape(carry.use_case.name), [each := prediction()])
    log.append(shape("deleted"), [prediction()])
    assert carry() == 1
    assert carry() == 0
    assert carry.ids() == ids(each)
    assert "There is no use case 'deleted'" in caplog.text
    log.close()
    carry()
    (aside,) = carry.folder.glob("*.aside")
    aside.rename(aside.with_suffix(""))
    assert carrying.backlog(carry.folder).records == 2
    assert carry() == 0
    assert carry.ids() == ids(each)


def test_a_use_case_that_is_broken_waits_alone(
    carry: Carried, log: PredictionLog, caplog: pytest.LogCaptureFixture
) -> None:
    log.append(shape(carry.use_case.name), [each := prediction()])
    log.append(shape("broken"), [prediction()])
    log.close()

    def load(name: str) -> UseCase:
        if name == "broken":
            raise SyntaxError("invalid syntax")
        return carry.use_case

    assert carrying.carry(carry.folder, load) == 1
    assert carry.ids() == ids(each)
    assert "invalid syntax" in caplog.text
    assert carrying.backlog(carry.folder) == carrying.Backlog(2, NOON, 0)


def test_a_value_that_does_not_fit_is_set_aside(carry: Carried, log: PredictionLog) -> None:
    log.append(shape(carry.use_case.name), [each := prediction()])
    text = Shape.of(carry.use_case.name, pa.schema({"x": pa.string()}))
    log.append(text, [prediction(values=["text"])])
    log.close()
    assert carry() == 1
    assert carry.ids() == ids(each)
    assert len(list(carry.folder.glob("*.aside"))) == 1


def test_while_the_lake_is_away_records_wait(
    carry: Carried, log: PredictionLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.append(shape(carry.use_case.name), [each := prediction(), prediction(NOON - timedelta(days=1))])
    log.close()
    assert carrying.backlog(carry.folder) == carrying.Backlog(2, NOON, 0)

    def away(*_: object, **__: object) -> pa.Table:
        raise ServiceUnavailable("PostgreSQL does not answer.")

    with monkeypatch.context() as patch:
        patch.setattr(table, "append", away)
        with pytest.raises(ServiceUnavailable):
            carry()
    assert carrying.backlog(carry.folder).records == 2
    assert carry() == 2
    assert each.prediction_id in carry.ids()
    assert carrying.backlog(carry.folder) == carrying.Backlog(0, None, 0)


def test_many_segments_are_carried_in_groups(carry: Carried, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(carrying, "_TOGETHER", 3000)
    log = PredictionLog(folder, max_size=1000)
    several = [prediction() for _ in range(30)]
    for each in several:
        log.append(shape(carry.use_case.name), [each])
    log.close()
    assert carry() == 30
    assert carry.ids() == ids(*several)
    assert segments.paths(folder) == []


def test_only_the_owner_may_read_what_it_notes(carry: Carried, log: PredictionLog) -> None:
    log.append(shape(carry.use_case.name), [prediction()])
    carry()
    for path in carry.folder.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


def test_a_segment_that_goes_meanwhile_is_no_error(
    carry: Carried, log: PredictionLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A writer takes its segment back if the disk is full before anything is in it."""
    log.append(shape(carry.use_case.name), [each := prediction()])
    gone = carry.folder / f"{segments.new_name()}{segments.SUFFIX}"
    listed = [*segments.paths(carry.folder), gone]
    monkeypatch.setattr(segments, "paths", lambda folder: listed)
    assert carry() == 1
    assert carry.ids() == ids(each)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user")
def test_the_log_of_another_user_is_left_to_its_server(energy: UseCase) -> None:
    """Another user's scoring, in a home that is shared, does not fail on it."""
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        log = PredictionLog(Path(place) / "log")
        log.append(shape(), [prediction()])
        log.close()
        assert as_nobody(lambda: carrying.carry(log.folder)) == "0"
        assert carrying.backlog(log.folder).records == 1


CARRYING = """
import os, sys
from pathlib import Path
from perennial import discovery
from perennial.served_predictions import carrying, table
append = table.append
def append_and_die(*arguments, **options):
    append(*arguments, **options)
    os.kill(os.getpid(), 9)
table.append = append_and_die
carrying.carry(Path(sys.argv[1]), lambda name: discovery.load("energy").model_copy(update={"name": name}))
"""


def test_killed_after_the_commit_it_is_carried_once(carry: Carried, log: PredictionLog) -> None:
    several = [prediction() for _ in range(4)]
    log.append(shape(carry.use_case.name), several)
    log.close()
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", CARRYING, str(carry.folder)]
    assert subprocess.run(command, env=environment, timeout=120).returncode == -9
    assert len(segments.paths(carry.folder)) == 1
    assert carry() == 0
    assert segments.paths(carry.folder) == []
    assert carry.ids() == ids(*several)


@pytest.fixture(autouse=True)
def _is_heard(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="perennial.served_predictions")


def test_memory_stays_flat_however_often_it_carries(carry: Carried, log: PredictionLog) -> None:
    grown: list[float] = []
    for _ in range(24):
        for _ in range(100):
            log.append(shape(carry.use_case.name), [prediction(answered_at=datetime.now(UTC)) for _ in range(40)])
        assert carry() == 4000
        grown.append(psutil.Process().memory_info().rss / 1e6)
    # What it needs at once is kept for the next time, by the allocators of Python and Arrow.
    assert max(grown[12:]) - max(grown[:12]) < 32, grown
