"""Entity rows for a retrieval without an `entity_df`: every key and time that the views themselves have a row of."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import polars as pl
import pyarrow as pa
from feast.repo_config import RepoConfig

from perennial.errors import BadFeatures
from perennial.feature_store.retrieval.entity_rows import TIME_COLUMN, EntityRows
from perennial.feature_store.retrieval.requested_view import RequestedView
from perennial.feature_store.storage.arrow_columns import one_chunk, utc


def entity_rows_of(views: Sequence[RequestedView], start: datetime, end: datetime, config: RepoConfig) -> EntityRows:
    """Each key and event time in [start, end] that a view has a row of, once, oldest first.

    Views of the same entities share their rows; a view without entities adds values to them, and rows only when there
    is no other view.

    Args:
        views: What is asked for.
        start: Inclusive, UTC.
        end: Inclusive, UTC.
        config: The feature store's configuration.

    Raises:
        BadFeatures: the views are of different entities, so it is undefined which of them belong together.
    """
    keyed = [view for view in views if view.join_keys] or list(views)
    names = keyed[0].join_keys
    for view in keyed:
        if set(view.join_keys) != set(names):
            raise BadFeatures(
                f"Without entity rows it is undefined which {', '.join(names)} goes with which"
                f" {', '.join(view.join_keys)} (feature views {keyed[0].view.name!r} and {view.view.name!r}).",
                "Pass entity rows, or ask for views of one entity.",
            )
    tables: list[pa.Table] = []
    for view in keyed:
        stored = view.open(config)
        columns = dict(zip(view.join_keys, stored.keys, strict=True))
        rows = stored.scan.read([*stored.keys, stored.time], time=stored.time, start=start, end=end)
        arrays = [one_chunk(rows[columns[name]]) for name in names]
        tables.append(pa.table([utc(one_chunk(rows[stored.time])), *arrays], names=[TIME_COLUMN, *names]))
    rows = pa.concat_tables(tables, promote_options="permissive").combine_chunks()
    frame = pl.DataFrame(rows).with_row_index("__row").drop_nulls()
    unique = frame.unique(subset=[TIME_COLUMN, *names], keep="first").sort(TIME_COLUMN, *names)
    return EntityRows.of(rows.take(unique["__row"].to_arrow()))
