"""A LocalExecutor whose workers have the heavy libraries imported, and that runs no task in two processes at once."""

from __future__ import annotations

from perennial._common.heavy_imports import preload
from perennial.orchestration._compat import OneProcessPerTask


class PreloadingLocalExecutor(OneProcessPerTask):
    """`LocalExecutor` that imports `perennial._common.heavy_imports.LIBRARIES` before it forks its workers."""

    def start(self) -> None:
        """Import, then start the workers."""
        preload()
        super().start()
