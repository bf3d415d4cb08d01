"""The log that a prediction server writes: what `append` returned from is in a file, and nobody else's."""

from __future__ import annotations

import errno
import os
import resource
import signal
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from logged import prediction, shape

from perennial.errors import ServiceUnavailable
from perennial.served_predictions import records, segments, writing
from perennial.served_predictions.records import Batch, NumberedShape
from perennial.served_predictions.writing import PredictionLog


def written(folder: Path) -> list[str]:
    """The ids in all segments."""
    ids = []
    for path in segments.paths(folder):
        for frame in segments.scan(path.read_bytes(), segments.salt_of(path.name)).frames:
            content = records.decode(frame.payload)
            if isinstance(content, Batch):
                assert frame.count == len(content.rows)
                ids += [each.prediction_id for each in content.rows]
    return ids


@pytest.mark.parametrize("durability", ["system", "disk"])
def test_records_are_in_a_file_when_append_returns(tmp_path: Path, durability: writing.Durability) -> None:
    log = PredictionLog(tmp_path / "log", durability)
    several = [prediction() for _ in range(3)]
    log.append(shape(), several[:2])
    assert written(tmp_path / "log") == [each.prediction_id for each in several[:2]]
    log.append(shape(), several[2:])
    assert written(tmp_path / "log") == [each.prediction_id for each in several]


def test_every_append_is_synced_if_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    real = os.fdatasync
    monkeypatch.setattr(os, "fdatasync", lambda file: (synced.append(file), real(file)))
    for durability, times in (("system", 0), ("disk", 2)):
        log = PredictionLog(tmp_path / durability, durability)
        log.append(shape(), [prediction(), prediction()])
        log.append(shape(), [prediction()])
        assert len(synced) == times


def test_only_the_owner_may_read_it(tmp_path: Path) -> None:
    PredictionLog(tmp_path / "log").append(shape(), [prediction()])
    (path,) = segments.paths(tmp_path / "log")
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_nothing_is_made_before_the_first_record(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path / "log")
    log.append(shape(), [])
    log.close()
    assert not (tmp_path / "log").exists()


def test_a_shape_is_written_once_a_segment(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path, max_size=2000)
    for _ in range(20):
        log.append(shape(), [prediction()])
        log.append(shape("other"), [prediction()])
    paths = segments.paths(tmp_path)
    assert len(paths) > 1
    for path in paths:
        frames = segments.scan(path.read_bytes(), segments.salt_of(path.name)).frames
        contents = [records.decode(each.payload) for each in frames]
        shapes = [each.shape.use_case for each in contents if isinstance(each, NumberedShape)]
        assert len(shapes) == len(set(shapes))
    assert len(written(tmp_path)) == 40


def test_an_old_segment_is_ended_by_the_next_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = PredictionLog(tmp_path)
    log.append(shape(), [prediction()])
    monkeypatch.setattr(writing, "_MAX_AGE", 0.0)
    log.append(shape(), [prediction()])
    assert len(segments.paths(tmp_path)) == 2


def test_threads_write_whole_frames(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path)
    several = [[prediction() for _ in range(5)] for _ in range(40)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda each: log.append(shape(), each), several))
    assert sorted(written(tmp_path)) == sorted(each.prediction_id for batch in several for each in batch)


def test_a_forked_process_writes_a_segment_of_its_own(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path)
    log.append(shape(), [prediction()])
    child = os.fork()
    if not child:
        log.append(shape(), [prediction()])
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    log.append(shape(), [prediction()])
    assert len(segments.paths(tmp_path)) == 2
    assert len(written(tmp_path)) == 3


FILLING = """
import sys
from pathlib import Path
from logged import prediction, shape
from perennial.served_predictions.writing import PredictionLog
log = PredictionLog(Path(sys.argv[1]))
while True:
    each = prediction()
    log.append(shape(), [each])
    print(each.prediction_id, flush=True)
"""


def test_what_was_acknowledged_outlives_kill_9(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    told = tmp_path / "told"
    with told.open("w") as output:
        command = [sys.executable, "-c", FILLING, str(tmp_path / "log")]
        process = subprocess.Popen(command, stdout=output, env=environment)
    try:
        while told.stat().st_size < 20_000:
            assert process.poll() is None
            time.sleep(0.01)
    finally:
        process.kill()
        process.wait(timeout=60)
    acknowledged = [each for each in told.read_text().split("\n")[:-1] if len(each) == 36]
    kept = written(tmp_path / "log")
    assert kept[: len(acknowledged)] == acknowledged
    assert len(kept) <= len(acknowledged) + 1


def test_a_full_disk_refuses_and_leaves_nothing_half(tmp_path: Path) -> None:
    """A limit on the size of files stands for a disk that is full: the system refuses the same write."""
    log = PredictionLog(tmp_path)
    first = prediction()
    log.append(shape(), [first])
    size = segments.paths(tmp_path)[0].stat().st_size
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10, before[1]))
    try:
        with pytest.raises(ServiceUnavailable, match=os.strerror(errno.EFBIG)):
            log.append(shape(), [prediction()])
        assert segments.paths(tmp_path)[0].stat().st_size == size
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    log.append(shape(), [second := prediction()])
    assert written(tmp_path) == [first.prediction_id, second.prediction_id]


def test_a_folder_of_others_refuses(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("a file where the folder should be")
    with pytest.raises(ServiceUnavailable, match="log of predictions"):
        PredictionLog(tmp_path / "log").append(shape(), [prediction()])


def test_writing_needs_no_library_of_a_store() -> None:
    code = (
        "import sys, perennial.served_predictions.writing\n"
        "print(sorted({'pyarrow', 'pyiceberg', 'pandas', 'feast', 'mlflow'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
