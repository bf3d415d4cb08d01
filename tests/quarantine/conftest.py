"""What tests of the quarantine share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import count

import great_expectations.expectations as gxe
import pyarrow as pa
import pytest

from perennial.partitions import Partition


@pytest.fixture(scope="module")
def days() -> Iterator[int]:
    """Every second day, so that each test has the one after its own too."""
    return count(step=2)


@pytest.fixture
def day(energy, days) -> Partition:
    """A partition of its own for each test; so is the one after it."""
    return energy.cadence.at(energy.first.start + timedelta(days=next(days)))


@pytest.fixture
def source(energy, monkeypatch) -> Callable[[Callable[[pa.Table], pa.Table]], None]:
    """Replace what the source sends by a change of it."""
    module = energy.module("source")
    original = module.readings

    def change(how: Callable[[pa.Table], pa.Table]) -> None:
        monkeypatch.setattr(module, "readings", lambda partition: how(original(partition)))

    return change


@pytest.fixture
def suite(energy, monkeypatch) -> Callable[..., None]:
    """Replace the suite of raw readings."""

    def change(*expectations: gxe.Expectation) -> None:
        monkeypatch.setattr(energy.module("expectations"), "readings", lambda partition: list(expectations))

    return change
