"""Entity rows from a SELECT statement or from Parquet files: DuckDB runs it, and sorts on disk what exceeds memory.

A query may name tables of the lake (`flights.examples`) and Feast's data sources by their names, and nothing else: it
is parsed first, its tables are handed in one by one, and the connection that runs it can open no file and no address.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds
from feast.errors import DataSourceObjectNotFoundException
from feast.infra.registry.base_registry import BaseRegistry
from feast.repo_config import RepoConfig
from pyarrow import fs

from perennial._common.sql_quoting import quote_ident, quote_literal
from perennial.errors import BadFeatures
from perennial.feature_store.retrieval.entity_rows import EntityRows, time_column
from perennial.feature_store.retrieval.sql_tables import TableName, tables_of
from perennial.feature_store.storage import lake_dataset, parquet_files
from perennial.feature_store.storage.arrow_columns import bounds, utc
from perennial.feature_store.storage.scan import open_scan

#: What one of DuckDB's threads needs to read a row group of a million rows.
_LEAST_MEMORY = 256 << 20


@dataclass(frozen=True)
class EntityQuery:
    """Entity rows that a query gives.

    Attributes:
        sql: One SELECT statement.
        tables: Each table it names, and what it holds, or the Parquet files on this machine that do.
        memory: Bytes DuckDB may take; it spills the rest to a temporary folder.
    """

    sql: str
    tables: Mapping[TableName, ds.Dataset | list[str]]
    memory: int

    @classmethod
    def of(cls, text: str, config: RepoConfig, registry: BaseRegistry, project: str, memory: int) -> EntityQuery:
        """From a SELECT statement, or from the path of a Parquet file or folder.

        Args:
            text: The statement, or the path (relative to the feature repository).
            config: The feature store's configuration.
            registry: Where data sources are looked up.
            project: Feast's project.
            memory: Bytes DuckDB may take.

        Raises:
            BadFeatures: it is neither, or the statement names a table that does not exist.
        """
        if _is_path(text):
            filesystem, path = parquet_files.located(text, config.repo_path)
            dataset = parquet_files.open_dataset(filesystem, path, "The path of entity rows")
            # DuckDB reads a disk within its own limit of memory, which Arrow, handing it batches, knows nothing of.
            is_local = isinstance(filesystem, fs.LocalFileSystem) and parquet_files.is_uniform(dataset)
            rows = dataset.files if is_local else dataset
            return cls("SELECT * FROM entity_rows", {("", "entity_rows"): rows}, memory)
        return cls(text, {name: _table(name, config, registry, project) for name in tables_of(text)}, memory)

    @cached_property
    def schema(self) -> pa.Schema:
        """The rows' columns."""
        with self._connection() as connection:
            return connection.sql(f"SELECT * FROM ({self.sql}) LIMIT 0").to_arrow_table().schema  # noqa: S608 - parsed

    @cached_property
    def time(self) -> str:
        """The name of their timestamp column."""
        return time_column(self.schema)

    def whole(self) -> EntityRows:
        """All of them, in the query's order."""
        with self._connection(in_order=True) as connection:
            return EntityRows.of(connection.sql(self.sql).to_arrow_table())

    def by_time(self, rows: int) -> Iterator[EntityRows]:
        """At most `rows` at a time, oldest first; those without a timestamp come before all others."""
        time = quote_ident(self.time)
        ordered = f"SELECT * FROM ({self.sql}) ORDER BY {time}::TIMESTAMPTZ NULLS FIRST"  # noqa: S608 - parsed
        with self._connection() as connection:
            is_empty = True
            for batch in connection.sql(ordered).to_arrow_reader(rows):
                is_empty = False
                yield EntityRows.of(pa.Table.from_batches([batch]))
            if is_empty:
                yield EntityRows.of(self.schema.empty_table())

    def between(self) -> tuple[datetime | None, datetime | None]:
        """The first and the last timestamp, UTC; None when there is none."""
        return self._summary[1:]

    def count(self) -> int:
        """How many rows there are."""
        return self._summary[0]

    def width(self) -> int:
        """About how many bytes a row takes."""
        return 16 * len(self.schema)

    @cached_property
    def _summary(self) -> tuple[int, datetime | None, datetime | None]:
        """The number of rows, the first and the last timestamp."""
        time = quote_ident(self.time)
        with self._connection() as connection:
            summary = connection.sql(
                f"SELECT count(*), min(t)::TIMESTAMPTZ lo, max(t)::TIMESTAMPTZ hi"  # noqa: S608 - parsed
                f" FROM (SELECT {time} AS t FROM ({self.sql}))"
            ).to_arrow_table()
        times = pa.concat_arrays([utc(summary[name].combine_chunks()) for name in ("lo", "hi")])
        return summary.column(0)[0].as_py(), *bounds(times)

    @contextmanager
    def _connection(self, in_order: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection that has the tables and nothing else.

        Args:
            in_order: Whether rows must come in the order of the files, which takes more memory.
        """
        with tempfile.TemporaryDirectory(prefix="perennial-spill-") as spill, duckdb.connect() as connection:
            self._configure(connection, spill, in_order)
            files = self._create_views(connection)
            if files:
                connection.execute(f"SET allowed_paths = {_list_of(files)}")
            connection.execute("SET enable_external_access = false")
            connection.execute("SET lock_configuration = true")
            try:
                yield connection
            except duckdb.Error as error:
                raise BadFeatures(f"The query for entity rows failed: {error}", "Fix the SELECT statement.") from error

    def _configure(self, connection: duckdb.DuckDBPyConnection, spill: str, in_order: bool) -> None:
        connection.execute("SET python_enable_replacements = false")
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("SET enable_progress_bar = false")
        memory = max(self.memory, _LEAST_MEMORY)
        connection.execute(f"SET memory_limit = '{memory >> 20}MiB'")
        connection.execute(f"SET threads = {min(os.cpu_count() or 1, memory // _LEAST_MEMORY)}")
        connection.execute(f"SET preserve_insertion_order = {str(in_order).lower()}")
        connection.execute(f"SET temp_directory = {quote_literal(spill)}")

    def _create_views(self, connection: duckdb.DuckDBPyConnection) -> list[str]:
        """Make the tables known to the connection; return the files that it must be able to read."""
        files: list[str] = []
        for number, ((schema, name), content) in enumerate(self.tables.items()):
            if isinstance(content, list):
                files += content
                rows = f"read_parquet({_list_of(content)}, hive_partitioning = false)"
            else:
                connection.register(f"__{number}", content)
                rows = f'"__{number}"'
            if schema:
                connection.execute(f"CREATE SCHEMA IF NOT EXISTS {quote_ident(schema)}")
            view = f"{quote_ident(schema)}.{quote_ident(name)}" if schema else quote_ident(name)
            connection.execute(f"CREATE VIEW {view} AS FROM {rows}")
        return files


def _is_path(text: str) -> bool:
    has_space = any(character.isspace() for character in text.strip())
    return not has_space and ("/" in text or parquet_files.is_file(text))


def _table(name: TableName, config: RepoConfig, registry: BaseRegistry, project: str) -> ds.Dataset:
    """What a query's table holds: a table of the lake, or else one of Feast's data sources."""
    identifier = ".".join(part for part in name if part)
    if "." in identifier:
        snapshots = getattr(config.offline_store, "snapshots", {})
        dataset = lake_dataset.open_dataset(identifier, snapshot=snapshots.get(identifier))
        if dataset is not None:
            return dataset
    try:
        source = registry.get_data_source(identifier, project, allow_cache=True)
    except DataSourceObjectNotFoundException as error:
        raise BadFeatures(
            f"The query names {identifier!r}, which is neither a table of the lake nor a data source.",
            "Name tables as <use case>.<table>, or a source as feature_repo/ does.",
        ) from error
    return open_scan(source, config).dataset


def _list_of(values: list[str]) -> str:
    """A list of strings in SQL."""
    return "[" + ", ".join(map(quote_literal, values)) + "]"
