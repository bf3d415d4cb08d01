"""What tests of drift share."""

from __future__ import annotations

import pytest
from drift_cases import profile, sample

from perennial import drift


@pytest.fixture(scope="session")
def world() -> drift.Profile:
    """The profile of a world that does not move."""
    return profile(sample(1))
