"""What the long tests share."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from calm import Calm
from homes import Home
from workers import stage


@pytest.fixture(scope="session")
def calm() -> Iterator[Calm]:
    """One worker, and one undisturbed life."""
    home = Home()
    with ThreadPoolExecutor(1) as beside, stage(home) as worker:
        yield Calm(worker, home, beside)
