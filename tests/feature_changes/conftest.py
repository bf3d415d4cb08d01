"""Checkouts for tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from changes_cases import Checkout, checkout_in


@pytest.fixture
def checkout(home: Path, tmp_path: Path) -> Iterator[Checkout]:
    """A checkout for one test."""
    with checkout_in(tmp_path) as made:
        yield made
