"""The files of the log, called segments: frames that are only appended, each with its length and a checksum.

A segment is `<time>-<process>-<salt>.segment`. Checksums begin with the salt, so that nothing that a caller sends can
look like a frame. Whoever writes a segment holds its lock (flock), which ends with the process.
"""

from __future__ import annotations

import os
import secrets
import struct
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from perennial.settings import settings

SUFFIX = ".segment"
_MAGIC = b"PNL\x01"
#: Magic, checksum of all that follows, length of the payload, number of predictions, when the first was answered (µs).
_HEADER = struct.Struct("<4sIIIq")
_CHECKED_FROM = 8


def log_folder() -> Path:
    """The folder of the log in the home of this process."""
    return settings().home / "serving_log"


@dataclass(frozen=True)
class Frame:
    """A frame of a segment that is whole.

    Attributes:
        start: Where it begins in the segment.
        end: Where the next one begins.
        count: How many predictions it holds.
        payload: See `records.decode`.
        answered_at: When the first of the predictions was answered; of a frame without any it means nothing.
    """

    start: int
    end: int
    count: int
    payload: bytes
    answered_at: datetime


@dataclass
class Scan:
    """What a segment holds.

    Attributes:
        frames: All frames that are whole, in order.
        damaged: Where bytes lie between them that are no frame: from, to.
        end: Where the last whole frame ends; what follows is torn, or being written.
    """

    frames: list[Frame] = field(default_factory=list)
    damaged: list[tuple[int, int]] = field(default_factory=list)
    end: int = 0


def new_name() -> str:
    """A name for a segment, without its suffix; later ones sort later."""
    return f"{time.time_ns():020d}-{os.getpid()}-{secrets.token_hex(4)}"


def paths(folder: Path) -> list[Path]:
    """The segments in a folder, oldest first."""
    return sorted(folder.glob(f"*{SUFFIX}"))


def salt_of(name: str) -> int:
    """What the checksums of a segment begin with.

    Args:
        name: Its name, with or without suffix.
    """
    return int(name.partition(".")[0].rpartition("-")[2], 16)


def frame(salt: int, payload: bytes, count: int = 0, answered_at: float = 0.0) -> bytes:
    """A frame as it is written.

    Args:
        salt: The segment's.
        payload: See `records.encode`.
        count: How many predictions it holds.
        answered_at: When the first of them was answered, in seconds since 1970.
    """
    header = _HEADER.pack(_MAGIC, 0, len(payload), count, int(answered_at * 1e6))
    checksum = zlib.crc32(payload, zlib.crc32(header[_CHECKED_FROM:], salt))
    return b"".join((_MAGIC, checksum.to_bytes(4, "little"), header[_CHECKED_FROM:], payload))


def scan(content: bytes, salt: int, start: int = 0) -> Scan:
    """Find all whole frames.

    Args:
        content: Of a segment.
        salt: The segment's.
        start: Where to begin, which is where a frame begins or the segment ends.
    """
    found = Scan(end=start)
    while (next_frame := _next(content, salt, found.end)) is not None:
        if next_frame.start > found.end:
            found.damaged.append((found.end, next_frame.start))
        found.frames.append(next_frame)
        found.end = next_frame.end
    return found


def whole_frames(content: bytes, salt: int, start: int = 0) -> Iterator[Frame]:
    """The frames up to the first that is not whole.

    Args:
        content: See `scan`.
        salt: See `scan`.
        start: See `scan`.
    """
    while (each := _at(content, salt, start)) is not None:
        yield each
        start = each.end


def _next(content: bytes, salt: int, start: int) -> Frame | None:
    while start >= 0:
        if (each := _at(content, salt, start)) is not None:
            return each
        start = content.find(_MAGIC, start + 1)
    return None


def _at(content: bytes, salt: int, start: int) -> Frame | None:
    """The frame that begins there; None: none does, or it is not whole."""
    body = start + _HEADER.size
    if len(content) < body:
        return None
    magic, checksum, length, count, answered = _HEADER.unpack_from(content, start)
    if magic != _MAGIC or len(content) - body < length:
        return None
    payload = content[body : body + length]
    if zlib.crc32(payload, zlib.crc32(content[start + _CHECKED_FROM : body], salt)) != checksum:
        return None
    return Frame(start, body + length, count, payload, _moment(answered))


def _moment(microseconds: int) -> datetime:
    try:
        return datetime.fromtimestamp(microseconds / 1e6, UTC)
    except (ValueError, OverflowError, OSError):
        return datetime.min.replace(tzinfo=UTC)
