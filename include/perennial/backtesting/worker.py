"""What a process of a backtest does that only fits. It is forked from one that has imported this module and no more."""

from __future__ import annotations

import multiprocessing
import os
import threading
from pathlib import Path

from perennial._common.heavy_imports import fast_imports

with fast_imports():
    from perennial.backtesting import fits
    from perennial.backtesting.fits import Fit
    from perennial.backtesting.history import History, Stored

_loaded: dict[Path, History] = {}


def make(stored: Stored, wanted: Fit, file: Path) -> None:
    """Make a fit, and keep its predictions.

    Args:
        stored: The history.
        wanted: The fit.
        file: Where its predictions go.

    Raises:
        TrainingFailed: the estimator fails.
    """
    if stored.file not in _loaded:
        _loaded[stored.file] = stored.load()
    fits.make(_loaded[stored.file], wanted, file)


def end_with_parent() -> None:
    """Let this process end when the backtest is killed: it would wait for work forever."""
    threading.Thread(target=_wait_for_parent, daemon=True).start()


def _wait_for_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
