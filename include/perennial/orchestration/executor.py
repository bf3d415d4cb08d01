"""A LocalExecutor whose workers start with the heavy libraries already imported: they are forked from the scheduler."""

from __future__ import annotations

from airflow.executors.local_executor import LocalExecutor

from perennial.imports import preload


class PreloadingLocalExecutor(LocalExecutor):
    """`LocalExecutor` that imports `perennial.imports.LIBRARIES` before it forks its workers."""

    def start(self) -> None:
        """Import, then start the workers."""
        preload()
        super().start()
