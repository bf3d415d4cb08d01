"""The files of quarantined content."""

from __future__ import annotations

import pytest
from quarantine_cases import HIGH, WHO, with_kwh

from perennial import quarantine
from perennial.errors import PerennialError
from perennial.ingestion import ingest
from perennial.quarantine import review

pytestmark = pytest.mark.usefixtures("project")


def test_a_damaged_file_is_named(energy, day, source, home) -> None:
    source(with_kwh(5000))
    ingest.ingest_partition(energy, day)
    (item,) = quarantine.list_items(energy, day)
    (file,) = home.glob(f"**/{item.content}.arrow")
    file.write_bytes(file.read_bytes()[:-3])
    with pytest.raises(PerennialError, match=f"{item.content}.arrow is missing or damaged"):
        review.release(energy, day, accept=[HIGH], **WHO)
    ingest.ingest_partition(energy, day)
    assert quarantine.content(energy, item.content).num_rows == 1, "written again from its source"
