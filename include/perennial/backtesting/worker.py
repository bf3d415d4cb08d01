"""What a process of a backtest does that only fits. It is forked from one that has imported this module and no more."""

from __future__ import annotations

import multiprocessing
import os
import threading
from pathlib import Path

from perennial._common.heavy_imports import fast_imports
from perennial.use_case import UseCase

with fast_imports():
    from perennial.backtesting import fits, history
    from perennial.backtesting.fits import Fit
    from perennial.backtesting.history import History

_loaded: dict[Path, History] = {}


def make(use_case: UseCase, first: str, last: str, place: Path, wanted: Fit, file: Path) -> None:
    """Make a fit, and keep its predictions.

    Args:
        use_case: Whose recipe.
        first: First partition of the history.
        last: Its last partition.
        place: Where `history.store` put its rows.
        wanted: The fit.
        file: Where its predictions go.

    Raises:
        TrainingFailed: the estimator fails.
    """
    if place not in _loaded:
        _loaded[place] = history.load(use_case, first, last, place)
    fits.make(_loaded[place], wanted, file)


def end_with_parent() -> None:
    """Let this process end when the backtest is killed: it would wait for work forever."""
    threading.Thread(target=_wait_for_parent, daemon=True).start()


def _wait_for_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
