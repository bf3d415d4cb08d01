"""What the lake uses of pyiceberg that is private there: it does what it is used for, and is still needed."""

from __future__ import annotations

import pyarrow as pa
import pytest
from pyiceberg.io import pyarrow as pyiceberg_arrow

from perennial.lake import _compat


def test_the_type_of_a_new_column_is_known() -> None:
    assert _compat.column_type(pa.field("a", pa.int64())) == pa.int64()
    assert _compat.column_type(pa.field("a", pa.duration("s"))) is None


def test_the_public_function_still_needs_field_ids() -> None:
    # When this fails, `pyarrow_to_schema` does what `_compat` uses a private function for.
    with pytest.raises(ValueError, match="field-ids"):
        pyiceberg_arrow.pyarrow_to_schema(pa.schema({"a": pa.int64()}))
