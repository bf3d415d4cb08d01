"""Carries the log of served predictions into the lake, each of them once, whatever is killed when.

A segment is read from where it was carried to, its predictions are appended by their ids, and what is done is noted.
A segment that nobody writes any more is deleted after that. Whoever is killed in between leaves something to be carried
again, of which the lake takes nothing twice.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from perennial import discovery
from perennial.errors import SchemaMismatch, ServiceUnavailable, StorageFull, UnknownUseCase
from perennial.served_predictions import records, segments
from perennial.served_predictions.records import Batch, NumberedShape, ServedPrediction, Shape
from perennial.use_case import UseCase

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger(__name__)

#: What a segment ends with that was set aside because some of it cannot be carried, for a person to look at.
SET_ASIDE = ".aside"
#: How much is read before it is appended, in bytes: a prediction takes several times as much while it is carried, and a
#: server keeps what it needed most.
_TOGETHER = 2 << 20
_PROGRESS = "carried.json"


@dataclass(frozen=True)
class Backlog:
    """What waits in the log.

    Attributes:
        records: How many predictions.
        oldest: When the first of them was answered; None: none waits.
        set_aside: How many segments were set aside.
    """

    records: int
    oldest: datetime | None
    set_aside: int


@dataclass
class _Segment:
    """A segment while it is carried.

    Attributes:
        has_ended: Nobody writes it any more.
        start: Up to where it was carried before.
        end: Up to where it is carried now.
        predictions: What is to be carried, by shape.
        problems: Why not all of it can be, in words.
        torn: Bytes after the last whole frame.
    """

    path: Path
    has_ended: bool
    start: int
    end: int = 0
    predictions: dict[Shape, list[ServedPrediction]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    torn: int = 0
    waits: bool = False


def carry(folder: Path, load: Callable[[str], UseCase] = discovery.load) -> int:
    """Carry what is in the log into the lake; one process at a time does.

    Args:
        folder: Of the log.
        load: Returns the use case of a name.

    Returns:
        How many predictions were appended; 0 also where the log is another user's, whose server carries it.

    Raises:
        ServiceUnavailable: the lake does not answer; what could not be carried waits.
        StorageFull: it has no room.
    """
    if not folder.is_dir():
        return 0
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        log.warning("%s is another user's: what waits there is carried by its prediction server.", folder)
        return 0
    with _locked(folder / "carrier.lock"):
        progress = _progress(folder)
        appended = 0
        outage: Exception | None = None
        for group in _groups(folder, progress):
            with _held(group) as segments_of_group:
                number, problem = _append(segments_of_group, load)
                appended, outage = appended + number, outage or problem
                for segment in segments_of_group:
                    _finish(segment, progress)
                _note_progress(folder, progress)
        if isinstance(outage, ServiceUnavailable | StorageFull):
            raise outage
        if outage is not None:  # Of one use case, whose declaration is broken for instance: others go on.
            log.error("Some served predictions wait in %s", folder, exc_info=outage)
        return appended


def backlog(folder: Path) -> Backlog:
    """What waits in the log; what is being written just now may be missing.

    Args:
        folder: Of the log.
    """
    progress = _progress(folder)
    waiting: list[tuple[int, datetime | None]] = []
    for path in segments.paths(folder):
        with suppress(FileNotFoundError):
            waiting.append(_waiting(path, path.stat().st_size, progress.get(path.name, 0)))
    moments = [oldest for _, oldest in waiting if oldest is not None]
    return Backlog(
        sum(number for number, _ in waiting),
        min(moments, default=None),
        len(list(folder.glob(f"*{SET_ASIDE}"))),
    )


@lru_cache(maxsize=4096)
def _waiting(path: Path, size: int, start: int) -> tuple[int, datetime | None]:
    """How many predictions a segment of this size holds from there on, and when the first was answered."""
    frames = segments.scan(path.read_bytes()[:size], segments.salt_of(path.name), start).frames
    counted = [each for each in frames if each.count]
    return sum(each.count for each in counted), counted[0].answered_at if counted else None


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    file = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)


def _groups(folder: Path, progress: dict[str, int]) -> Iterator[list[tuple[Path, int]]]:
    """The segments, with where to begin, in groups that are read and appended together."""
    group: list[tuple[Path, int]] = []
    size = 0
    paths = segments.paths(folder)
    for gone in set(progress) - {path.name for path in paths}:
        del progress[gone]
    for path in paths:
        if group and size >= _TOGETHER:
            yield group
            group, size = [], 0
        start = progress.get(path.name, 0)
        with suppress(FileNotFoundError):  # Of a segment that was never written to, because the disk was full.
            size += max(path.stat().st_size - start, 0)
            group.append((path, start))
    if group:
        yield group


@contextmanager
def _held(group: list[tuple[Path, int]]) -> Iterator[list[_Segment]]:
    """The segments of a group, read; those that have ended stay locked."""
    with ExitStack() as files:
        held: list[_Segment] = []
        for path, start in group:
            with suppress(FileNotFoundError):
                file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                files.callback(os.close, file)
                held.append(_read(path, start, file))
        yield held


def _read(path: Path, start: int, file: int) -> _Segment:
    # Before it is read: what has ended by now is complete in what is read.
    segment = _Segment(path, _lock_if_free(file), start)
    content, salt = path.read_bytes(), segments.salt_of(path.name)
    found = segments.scan(content, salt)
    if found.damaged and not segment.has_ended:
        # Perhaps it is only being written; when it has ended there is no doubt.
        found.frames = [each for each in found.frames if each.end <= found.damaged[0][0]]
        found.end = found.damaged[0][0]
    segment.end = max(found.end, start)
    segment.torn = len(content) - found.end if segment.has_ended else 0
    if segment.has_ended:
        segment.problems += [f"bytes {since} to {until} are damaged" for since, until in found.damaged]
    shapes: dict[int, Shape] = {}
    for frame in found.frames:
        _take(segment, frame, shapes)
    return segment


def _take(segment: _Segment, frame: segments.Frame, shapes: dict[int, Shape]) -> None:
    """Add what a frame holds to what is to be carried."""
    try:
        content = records.decode(frame.payload)
    except msgspec.DecodeError as error:
        segment.problems.append(f"the frame at byte {frame.start} was written by another release: {error}")
        return
    match content:
        case NumberedShape():
            shapes[content.number] = content.shape
        case Batch() if frame.start >= segment.start:
            if content.shape in shapes:
                segment.predictions.setdefault(shapes[content.shape], []).extend(content.rows)
            else:
                segment.problems.append(f"the types of {len(content.rows)} predictions at byte {frame.start} are lost")


def _lock_if_free(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _append(group: list[_Segment], load: Callable[[str], UseCase]) -> tuple[int, Exception | None]:
    """Append what a group holds; return how many predictions were new, and why others have to wait."""
    from perennial.served_predictions import table

    holders: dict[Shape, list[_Segment]] = {}
    for segment in group:
        for shape in segment.predictions:
            holders.setdefault(shape, []).append(segment)
    appended = 0
    outage: Exception | None = None
    for shape, segments_of_shape in holders.items():
        predictions = [each for segment in segments_of_shape for each in segment.predictions[shape]]
        try:
            appended += table.append(load(shape.use_case), _rows(shape, predictions), fixed="answered_at").num_rows
        except (SchemaMismatch, UnknownUseCase) as error:
            for segment in segments_of_shape:
                segment.problems.append(f"those of use case {shape.use_case!r} do not enter: {error.problem}")
        except Exception as error:  # Whatever it is, others need not wait for it.
            outage = error
            for segment in segments_of_shape:
                segment.waits = True
    return appended, outage


def _rows(shape: Shape, predictions: list[ServedPrediction]) -> pa.Table:
    try:
        return records.rows(shape, predictions)
    except (ValueError, TypeError) as error:
        raise SchemaMismatch(f"A value is not of its column's type: {error}") from error


def _finish(segment: _Segment, progress: dict[str, int]) -> None:
    """Note how far a segment was carried, and put away one that has ended."""
    if segment.waits:
        return
    if segment.problems:
        _report(segment)
        if segment.has_ended:
            segment.path.rename(segment.path.with_name(segment.path.name + SET_ASIDE))
        return
    progress[segment.path.name] = segment.end
    if segment.has_ended:
        if segment.torn:
            log.warning(
                "%s: the last %d bytes are half a record, which nobody was answered; deleted.",
                segment.path.name,
                segment.torn,
            )
        segment.path.unlink()


def _report(segment: _Segment) -> None:
    problems = "; ".join(segment.problems)
    if segment.has_ended:
        message = "%s: %s. All else in it is in the lake. It is set aside; without %s in its name it is carried again."
        log.error(message, segment.path, problems, SET_ASIDE)
    else:
        log.error("%s: %s. All else in it is in the lake; this is tried again.", segment.path, problems)


def _progress(folder: Path) -> dict[str, int]:
    """Up to where each segment was carried. It only saves work: without it all is carried again, and nothing twice."""
    try:
        noted = json.loads((folder / _PROGRESS).read_bytes())
    except (OSError, ValueError):
        return {}
    return noted if isinstance(noted, dict) else {}


def _note_progress(folder: Path, progress: dict[str, int]) -> None:
    new = folder / f".{_PROGRESS}.new"
    with os.fdopen(os.open(new, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_CLOEXEC, 0o600), "w") as file:
        json.dump(progress, file)
    new.rename(folder / _PROGRESS)
