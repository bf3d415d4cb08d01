"""The share of rows that are quarantined."""

from __future__ import annotations

import pytest
from quarantine_cases import readings, with_kwh

from perennial import quarantine
from perennial.ingestion import ingest

pytestmark = pytest.mark.usefixtures("project")


def test_the_quarantined_share_beside_its_baseline(energy, source) -> None:
    energy = energy.model_copy(update={"start": "2025-01-01", "end": None})
    days = list(energy.partition("2025-01-01").through(energy.partition("2025-01-04")))
    for day, bad in zip(days, (0, 1, 2, 20), strict=True):
        source(with_kwh(*[5000.0] * bad))
        ingest.ingest_partition(energy, day)
    rows = len(readings(days[0]))
    share = quarantine.share(energy, days[-1])
    assert share.now == pytest.approx(20 / rows)
    assert share.usual == pytest.approx(1 / rows, rel=0.1)
    assert share.partitions == 3
