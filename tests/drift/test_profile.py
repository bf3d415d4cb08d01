"""Profiles of training, and the policies that are checked against them."""

from __future__ import annotations

import pyarrow as pa
import pytest
from drift_cases import sample, use_case

from perennial import ColumnPolicy, drift
from perennial.errors import PerennialError


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"nmber": ColumnPolicy(ignore=True)}, "'nmber'"),
        ({"letter": ColumnPolicy(method="wasserstein")}, "category"),
    ],
)
def test_a_policy_that_fits_no_column_is_an_error_that_names_it(columns: dict, message: str) -> None:
    sample_rows = pa.Table.from_pandas(sample(1), preserve_index=False)
    with pytest.raises(PerennialError, match=message):
        drift.Profile.of_features(use_case(columns=columns), sample_rows, ["number", "letter"])
