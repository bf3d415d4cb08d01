"""Writes served predictions to the log, before anybody is answered; it needs no store, nor a library of one."""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal

from perennial.errors import ServiceUnavailable
from perennial.served_predictions import records, segments
from perennial.served_predictions.records import Batch, NumberedShape, ServedPrediction, Shape

#: How far a record is before the answer: with the operating system, which outlives the process, or on the disk.
Durability = Literal["system", "disk"]
#: A segment that is larger, in bytes, or older, in seconds, is ended with the next record. It is carried as a whole,
#: and takes several times as much memory while it is.
_MAX_SIZE = 2 << 20
_MAX_AGE = 60.0


class PredictionLog:
    """A process's segments in the log; used from several threads. A process that is forked writes its own.

    Args:
        folder: Of the log; made when the first record is written.
        durability: See `Durability`.
        max_size: Of a segment, in bytes.

    Attributes:
        folder: See above.
    """

    def __init__(self, folder: Path, durability: Durability = "system", *, max_size: int = _MAX_SIZE) -> None:
        self.folder = folder
        self._on_disk = durability == "disk"
        self._max_size = max_size
        self._lock = threading.Lock()
        self._process = os.getpid()
        self._file: int | None = None
        self._path = folder
        self._salt = 0
        self._size = 0
        self._opened = 0.0
        self._shapes: dict[Shape, int] = {}

    def append(self, shape: Shape, predictions: Sequence[ServedPrediction]) -> None:
        """Write records; when this returns they are as durable as was asked for, all of them.

        Args:
            shape: What their `values` are. The same object again and again costs least.
            predictions: What is about to be answered together.

        Raises:
            ServiceUnavailable: they cannot be written, and so nobody may be answered.
        """
        if not predictions:
            return
        with self._lock:
            try:
                self._open_if_due()
                self._write(self._frames(shape, predictions))
            except OSError as error:
                raise ServiceUnavailable(
                    f"The log of predictions in {self.folder} cannot be written: {error.strerror}.",
                    "Nothing is answered that is not recorded: make room on the disk, or give the folder back to its"
                    " owner.",
                ) from error

    def close(self) -> None:
        """End the segment that is written, if there is one."""
        with self._lock:
            self._close()

    def _frames(self, shape: Shape, predictions: Sequence[ServedPrediction]) -> bytes:
        number = self._shapes.get(shape)
        content = b""
        if number is None:
            number = self._shapes[shape] = len(self._shapes)
            content = segments.frame(self._salt, records.encode(NumberedShape(number, shape)))
        payload = records.encode(Batch(number, predictions))
        answered_at = predictions[0].answered_at.timestamp()
        return content + segments.frame(self._salt, payload, len(predictions), answered_at)

    def _write(self, content: bytes) -> None:
        file = self._file
        assert file is not None  # noqa: S101
        try:
            done = 0
            while done < len(content):
                done += os.write(file, content[done:] if done else content)
            if self._on_disk:
                os.fdatasync(file)
        except OSError:
            # What was not written whole is taken back, so that the next frame follows the last one. Where to sync has
            # failed nobody knows what is on the disk: the next record begins another segment.
            with suppress(OSError):
                os.ftruncate(file, self._size)
                if not self._size:
                    self._path.unlink()
            self._close()
            raise
        self._size += len(content)

    def _open_if_due(self) -> None:
        if self._process != os.getpid():
            # The parent's file, and its lock, which it goes on holding.
            self._process = os.getpid()
            self._close()
        if self._file is not None and (self._size >= self._max_size or time.monotonic() - self._opened >= _MAX_AGE):
            self._close()
        if self._file is None:
            self._open()

    def _open(self) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        name = segments.new_name()
        place = self.folder / f"{name}{segments.SUFFIX}"
        # Under another name until it is locked: a segment without a lock is one that nobody writes any more.
        hidden = self.folder / f".{name}.new"
        file = os.open(hidden, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            hidden.rename(place)
            if self._on_disk:
                _sync_folder(self.folder)
        except OSError:
            os.close(file)
            raise
        self._file, self._path, self._salt = file, place, segments.salt_of(name)
        self._size, self._opened = 0, time.monotonic()
        self._shapes = {}

    def _close(self) -> None:
        if self._file is not None:
            os.close(self._file)
        self._file = None


def _sync_folder(folder: Path) -> None:
    """A new file's name is on the disk, too."""
    file = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
