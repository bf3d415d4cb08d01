"""Gives values out in the type that a feature view declares, also once the table's column has a wider type."""

from __future__ import annotations

from typing import TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
from feast.types import FeastType, Float32, Int32

from perennial.errors import BadFeatures
from perennial.lake import column_types

#: A column of a table, or of a batch.
ArrowColumn: TypeAlias = pa.Array | pa.ChunkedArray


def cast_to_declared(values: ArrowColumn, kind: FeastType, name: str, view: str) -> ArrowColumn:
    """A column of a table, whose type may be wider than the declared one, for the view that declares it.

    An Int32 is exact. A Float32 is rounded where it is served, so it comes out of here as the table has it, but must
    not become infinite there. Of all other types the table's are taken.

    Args:
        values: As the table has them.
        kind: The type that the view declares.
        name: The feature, for errors.
        view: The view, for errors.

    Raises:
        BadFeatures: a value does not fit.
    """
    if kind == Int32 and pa.types.is_integer(values.type):
        fitting = column_types.cast_exactly(values, pa.int32())
    else:
        fitting = None if kind == Float32 and _would_become_infinite(values) else values
    if fitting is None:
        raise BadFeatures(
            f"Feature view {view!r} declares {name!r} as {kind}, and its table holds {values.type}: a value does not"
            " fit.",
            "Declare the type that the table has in feature_repo/ and apply it, or fix the transform that writes it.",
        )
    return fitting


def _would_become_infinite(values: ArrowColumn) -> bool:
    """Whether a number is beyond the largest of 32 bits."""
    if values.type != pa.float64():
        return False
    is_infinite = pc.is_inf(values.cast(pa.float32()))
    return bool(pc.any(pc.and_(is_infinite, pc.invert(pc.is_inf(values)))).as_py())
