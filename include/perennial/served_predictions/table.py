"""The table `served_predictions`: one row a prediction that was answered, or made ahead of its moment."""

from __future__ import annotations

import logging
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from perennial import lake
from perennial.errors import PerennialError
from perennial.lake.schemas import SERVED_PREDICTION
from perennial.use_case import UseCase

log = logging.getLogger(__name__)

ServedAs = Literal["champion", "canary", "pinned", "shadow", "ahead"]
#: What Perennial gave, or would have given. One in shadow, or by a version that a caller chose, is for comparison.
COUNTING: tuple[ServedAs, ...] = ("champion", "canary", "ahead")
#: Of them, what was made ahead of an example's moment, before anybody asked.
MADE_AHEAD: ServedAs = "ahead"
#: From so many small files on those of a partition are merged; at most so many rows, which are in memory then.
_MANY_FILES = 64
_MOST_ROWS = 100_000


#: What a data column ends with whose name the table needs itself.
_OF_EXAMPLE = "_of_example"


def data_column(name: str) -> str:
    """The column of the table that holds a request's field or a model's input of this name.

    It is another one only where the table has a column of its own of that name.

    Args:
        name: Its name in the examples.
    """
    is_own = name in SERVED_PREDICTION.names and name != "event_timestamp"
    return f"{name}{_OF_EXAMPLE}" if is_own else name


def data_name(column: str) -> str:
    """The name in the examples of what a column holds: the inverse of `data_column`.

    Args:
        column: A column of the table that is none of its own.
    """
    name = column.removesuffix(_OF_EXAMPLE)
    return name if data_column(name) == column else column


def append(
    use_case: UseCase, rows: pa.Table, *, fixed: Literal["event_timestamp", "answered_at"] = "event_timestamp"
) -> pa.Table:
    """Append the predictions whose id the table does not have yet, in one commit; return what was appended.

    Writers wait for one another, so a prediction that two of them have is appended once. Its partition is that of its
    `event_timestamp`; a prediction id has the same `event_timestamp` whenever it is appended.

    Args:
        use_case: Whose predictions.
        rows: The columns of `SERVED_PREDICTION` (those that are missing are null), and beside them the example's key,
            the request's fields and the model's inputs by `data_column`.
        fixed: A column, beside `event_timestamp`, of which a prediction always has the same value: ids are looked
            for in its span of the rows only. Many requests may be as of one moment, but they are not answered in one.

    Raises:
        SchemaMismatch: a value cannot be stored as it is, because the table's column has another type.
        ServiceUnavailable: the lake does not answer.
    """
    ids = rows["prediction_id"].to_pylist()
    first = {each: number for number, each in reversed(list(enumerate(ids)))}
    if len(first) < len(ids):
        rows = rows.take(pa.array(sorted(first.values()), pa.int64()))
    for column in SERVED_PREDICTION:
        if column.name not in rows.column_names:
            rows = rows.append_column(column.name, pa.nulls(rows.num_rows, column.type))
    names = [use_case.cadence.at(moment).key for moment in rows["event_timestamp"].to_pylist()]
    rows = rows.add_column(0, lake.PARTITION, pa.array(names, pa.string()))
    identifier = use_case.tables.served_predictions
    # Each minute's snapshot is dropped after a while: a table's metadata lists them all, and nothing is pinned to one.
    appended = lake.append_missing(identifier, rows, key=("prediction_id",), fixed=fixed, lasting=False)
    for partition in sorted(set(appended[lake.PARTITION].to_pylist())):
        # Files come with each minute of serving: reading a partition would take longer with each of them.
        try:
            lake.merge_files(identifier, partition, at_least=_MANY_FILES, most_rows=_MOST_ROWS)
        except PerennialError as error:  # What was appended is there all the same.
            log.warning("%s %s: its small files were not merged: %s", identifier, partition, error)
    return appended


def read(use_case: UseCase, partition: str, *, columns: tuple[str, ...] = ("*",)) -> pa.Table | None:
    """The predictions of a partition that were served or made ahead, in any order; None: none ever was.

    Args:
        use_case: Whose predictions.
        partition: Its name; of event time.
        columns: Only these columns.
    """
    return lake.read(use_case.tables.served_predictions, partitions=[partition], columns=columns)


def counting(rows: pa.Table) -> pa.Table:
    """Those of the rows that count as Perennial's predictions: see `COUNTING`; and no errors.

    Args:
        rows: With the columns `served_as` and `error`.
    """
    return rows.filter(pc.and_(pc.is_in(rows["served_as"], pa.array(COUNTING)), pc.is_null(rows["error"])))
