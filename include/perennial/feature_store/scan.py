"""Reading a `LakeSource`: only the columns and the stretch of time that are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pyarrow as pa
from feast.data_source import DataSource
from pyiceberg.expressions import AlwaysTrue, And, BooleanExpression, GreaterThanOrEqual, LessThanOrEqual

from perennial import lake
from perennial.errors import BadFeatures
from perennial.feature_store.source import LakeSource


def lake_source(source: DataSource | None, reader: str) -> LakeSource:
    """`source`, if it is a table of the lake.

    Raises:
        BadFeatures: it is not; `reader` says whose source it is.
    """
    if isinstance(source, LakeSource):
        return source
    raise BadFeatures(
        f"{reader} reads a {type(source).__name__}, which the lake's offline store cannot.",
        "Use perennial.feature_store.source.LakeSource in feature_repo/.",
    )


def scan(
    source: LakeSource,
    columns: Sequence[str],
    *,
    time: str,
    start: datetime | None = None,
    end: datetime | None = None,
    snapshot: int | None = None,
    reader: str = "",
) -> pa.Table:
    """Rows of the source's table, in one chunk a column.

    Args:
        source: Where to read.
        columns: What to read, as the table calls it; nothing means everything but the lake's own.
        time: The column that `start` and `end` (UTC, both inclusive) bound.
        start: None: from the beginning.
        end: None: to the end.
        snapshot: The table's snapshot; None is the current one.
        reader: Who reads, for errors.

    Raises:
        BadFeatures: there is no such table or column.
    """
    reader = reader or f"Lake source {source.name!r}"
    columns = list(dict.fromkeys(columns)) or list(source.columns())
    try:
        rows = lake.read(source.table, columns=columns, where=_between(time, start, end), snapshot=snapshot)
    except ValueError as error:
        found = source.columns()
        missing = [name for name in columns if name not in found]
        if not missing:
            raise
        raise BadFeatures(
            f"{reader} names column {missing[0]!r}, which lake table {source.table!r} does not have.",
            f"Its columns are {', '.join(found)}. Mend the schema in {source.file}, or the transform.",
        ) from error
    if rows is None:
        raise BadFeatures(
            f"{reader} reads lake table {source.table!r}, which does not exist.",
            f"Run the features pipeline for it, or mend `table=` in {source.file}.",
        )
    return rows.combine_chunks()


def column(rows: pa.Table, name: str) -> pa.Array:
    """One column of a scan, in one piece."""
    chunks = rows[name].chunks
    return chunks[0] if len(chunks) == 1 else pa.concat_arrays(chunks) if chunks else pa.array([], rows[name].type)


def earlier(moment: datetime | None, by: timedelta | None) -> datetime | None:
    """`by` before `moment`; None, which bounds nothing, where there is none."""
    try:
        return moment - by if moment is not None and by is not None else None
    except OverflowError:
        return None


def _between(time: str, start: datetime | None, end: datetime | None) -> BooleanExpression:
    condition: BooleanExpression = AlwaysTrue()
    if start is not None:
        condition = And(condition, GreaterThanOrEqual(time, _utc(start)))
    if end is not None:
        condition = And(condition, LessThanOrEqual(time, _utc(end)))
    return condition


def _utc(moment: datetime) -> str:
    return (moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)).isoformat()
