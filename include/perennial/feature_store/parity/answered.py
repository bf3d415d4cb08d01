"""Compares the features of predictions that were answered with the lake: each as of when its values became known.

An answer was made from the online store, which may have been behind the lake, and from no snapshot that could be read
again. So each view's values are held against the row of the event time that was recorded with them.
"""

from __future__ import annotations

from typing import Any

import polars as pl
import pyarrow as pa
from feast import FeatureView
from feast.feature_view import DUMMY_ENTITY_ID

from perennial import lake
from perennial.feature_store.columns import event_timestamp_column
from perennial.feature_store.parity import comparison, served
from perennial.feature_store.parity.comparison import Difference
from perennial.feature_store.parity.served import ServedRow
from perennial.feature_store.publication import AT_ONCE
from perennial.partitions import Partition
from perennial.served_predictions import table
from perennial.use_case import UseCase


def sample(use_case: UseCase, partition: Partition, count: int, seed: int) -> pa.Table | None:
    """Some of the predictions that were answered for moments of a partition; None: there are none.

    Args:
        use_case: Whose predictions.
        partition: Which of them.
        count: At most how many.
        seed: The same one gives the same sample.
    """
    rows = table.read(use_case, partition.key)
    if rows is None:
        return None
    # One ahead of its moment was made from the lake, as by scoring.
    answered = pl.col("error").is_null() & (pl.col("served_as") != "ahead")
    frame = pl.DataFrame(rows.select(["prediction_id", "error", "served_as"])).with_row_index("row").filter(answered)
    chosen = frame.with_columns(pl.col("prediction_id").hash(seed).alias("hash")).sort("hash")["row"][:count]
    return rows.take(chosen.to_arrow()) if len(chosen) else None


def compare(view: FeatureView, rows: pa.Table) -> tuple[int, list[Difference]]:
    """How the features of a view in answered predictions differ from the lake's of the same event time.

    What was missing or expired for a prediction has no such row, and is left out.

    Args:
        view: The view.
        rows: n rows of `served_predictions`.

    Returns:
        How many rows were compared, and the differences. A row that was corrected in the lake since is one.
    """
    from perennial.feature_store import repository

    time = event_timestamp_column(view.name)
    names = [name for name in view.join_keys if name != DUMMY_ENTITY_ID]
    if time not in rows.column_names or any(table.data_column(name) not in rows.column_names for name in names):
        return 0, []
    logged = served.read_logged(view, _with_own_names(view, rows), _features(view, rows))
    known = [_as_of_its_row(row) for row in logged if row.time is not None and not _is_expired(view, row)]
    store = repository.open_store(keep_event_timestamps=True, publications={view.name: AT_ONCE})
    return len(known), comparison.compare(store, view, known, known_at_the_time=False, with_times=False)


def _features(view: FeatureView, rows: pa.Table) -> list[str]:
    stored = (feature.name for feature in view.features if table.data_column(feature.name) in rows.column_names)
    return list(stored)


def _with_own_names(view: FeatureView, rows: pa.Table) -> pa.Table:
    """The view's columns by the names that it has for them."""
    time = event_timestamp_column(view.name)
    columns: dict[str, Any] = {"event_timestamp": rows["event_timestamp"], time: rows[time]}
    for name in [*view.join_keys, *_features(view, rows)]:
        if name != DUMMY_ENTITY_ID:
            columns[name] = rows[table.data_column(name)]
    return lake.canonical(pa.table(columns))


def _as_of_its_row(row: ServedRow) -> ServedRow:
    assert row.time is not None  # noqa: S101
    return ServedRow(row.key, served.end_of_second(row.time), row.values, row.time)


def _is_expired(view: FeatureView, row: ServedRow) -> bool:
    return bool(view.ttl and row.time and row.at - row.time > view.ttl)
