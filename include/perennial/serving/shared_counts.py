"""What several workers counted, added up: each writes its numbers to a file of its own, once a second."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import msgspec

from perennial.serving.metrics import Counts

#: So old may the numbers of other workers be, in seconds.
_EVERY = 1.0


class SharedCounts:
    """The counts of this worker, and of all others, also of those that have ended.

    Args:
        folder: Of the workers of one server.
        counts: This worker's.
    """

    def __init__(self, folder: Path, counts: Counts) -> None:
        self._file = folder / str(os.getpid())
        self._counts = counts

    def start(self) -> None:
        """Write the numbers from now on."""
        threading.Thread(target=self._keep_writing, name="counts", daemon=True).start()

    def write(self) -> None:
        """Write the numbers as they are now."""
        numbers = {name: list(dict(values).items()) for name, values in vars(self._counts).items()}
        content = msgspec.json.encode(numbers)
        if not self._file.exists() or self._file.read_bytes() != content:
            new = self._file.with_suffix(".new")
            new.write_bytes(content)
            new.replace(self._file)

    def total(self) -> Counts:
        """The numbers of all workers."""
        total = Counts()
        _add(total, vars(self._counts))
        for file in self._file.parent.iterdir():
            if file.suffix != ".new" and file != self._file:
                written = msgspec.json.decode(file.read_bytes())
                _add(total, {name: {_key(key): value for key, value in items} for name, items in written.items()})
        return total

    def _keep_writing(self) -> None:
        ended = threading.Event()
        while not ended.wait(_EVERY):
            self.write()


def _add(total: Counts, numbers: dict[str, dict[Any, float]]) -> None:
    for name, values in numbers.items():
        into = getattr(total, name)
        for key, value in dict(values).items():
            into[key] = into.get(key, 0) + value


def _key(key: Any) -> Any:
    return tuple(key) if isinstance(key, list) else key
