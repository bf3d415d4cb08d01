"""Identifies rows that have no key column: by a digest of what is known about a row at its moment, and a number."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from perennial._common.duckdb_session import fetch_table, open_session
from perennial._common.sql_quoting import quote_ident


def with_row_id(rows: pa.Table, learnt_later: Sequence[str]) -> pa.Table:
    """The rows with a column `row_id` (string): the same for the same row, in whatever order rows arrive.

    Rows that are equal at their moment are distinguished by a number. They get the same prediction, so it does not
    matter which number is whose; later, they are ordered by what became known since.

    Args:
        rows: All rows of one partition.
        learnt_later: The columns whose values become known only after a row's moment, such as its label. They are not
            in the digest, so that a row keeps its id when its label arrives.
    """
    later = ", ".join(map(quote_ident, learnt_later))
    known = f"CAST(row(*COLUMNS(* EXCLUDE ({later}))) AS VARCHAR)"
    number = f"row_number() OVER (PARTITION BY {known} ORDER BY {later})"
    with open_session(rows=rows) as connection:
        return fetch_table(connection, f"SELECT *, md5({known}) || '-' || {number} AS row_id FROM rows")  # noqa: S608
