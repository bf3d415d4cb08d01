"""Readers of raw rows: files on a disk, in S3 or on the web, and tables of databases.

A use case's `source.py` declares its columns and reads one partition of them with `Files` or `DatabaseTable`; for
anything these do not cover there are `web` and `tables`. Credentials are Airflow connections: see `connections`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from perennial._common.lazy_imports import attributes_of

if TYPE_CHECKING:
    from perennial.sources.columns import Column, Schema
    from perennial.sources.database_table import DatabaseTable
    from perennial.sources.files import Files
    from perennial.sources.row_ids import with_row_id

__all__ = ["Column", "DatabaseTable", "Files", "Schema", "with_row_id"]

__getattr__ = attributes_of(
    __name__,
    {
        ".columns": ["Column", "Schema"],
        ".database_table": ["DatabaseTable"],
        ".files": ["Files"],
        ".row_ids": ["with_row_id"],
    },
)
