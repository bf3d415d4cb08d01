"""What the long tests share."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from homes import Home
from undisturbed import UndisturbedRun
from workers import stage


@pytest.fixture(scope="session")
def undisturbed() -> Iterator[UndisturbedRun]:
    """One worker, and one undisturbed scenario."""
    home = Home()
    with ThreadPoolExecutor(1) as beside, stage(home) as worker:
        yield UndisturbedRun(worker, home, beside)
