"""Tables that Perennial computed itself: a broken critical expectation is an error."""

from __future__ import annotations

from types import SimpleNamespace

import great_expectations.expectations as gxe
import pyarrow as pa
import pytest

from perennial import Cadence, validation
from perennial.errors import BadFeatures

MARCH = Cadence.MONTHLY.partition("2013-03")


def test_a_computed_table_must_pass_as_a_whole() -> None:
    positive = gxe.ExpectColumnValuesToBeBetween(column="km", min_value=0, severity="critical")
    module = SimpleNamespace(trips=lambda partition: [positive])
    use_case = SimpleNamespace(name="taxis", module=lambda name: module)
    rows = pa.table({"km": [1.0, -5.0]})
    with pytest.raises(BadFeatures, match=r"'taxis', table 'trips', partition '2013-03': .*km.* failed.*\[-5.0\]"):
        validation.validate_computed_table(use_case, "trips", rows, MARCH, BadFeatures)
