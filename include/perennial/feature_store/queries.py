"""Entity rows from a SELECT statement, or from Parquet files: DuckDB runs it, and sorts on disk what memory won't hold.

A query may name tables of the lake (`flights.examples`) and Feast's data sources by their names, and nothing else: it
is parsed first, its tables are handed in one by one, and the connection that runs it can open no file and no address.
"""

from __future__ import annotations

import json
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
from perennial.feature_store import files, lake_files
from perennial.feature_store.entity_rows import EntityRows, bounds_of, time_column, utc
from perennial.feature_store.scan import open_scan

#: Table functions that read nothing.
_HARMLESS = {"generate_series", "range", "unnest"}
#: What one of DuckDB's threads needs to read a row group of a million rows.
_LEAST_MEMORY = 256 << 20
#: A table as a query names it: schema, or nothing, and name.
Name = tuple[str, str]


@dataclass(frozen=True)
class EntityQuery:
    """Entity rows that a query gives.

    Args:
        sql: One SELECT statement.
        tables: Each table it names, and what it holds, or the Parquet files on this machine that do.
        memory: Bytes DuckDB may take; it spills the rest to a temporary folder.
    """

    sql: str
    tables: Mapping[Name, ds.Dataset | list[str]]
    memory: int

    @classmethod
    def of(cls, text: str, config: RepoConfig, registry: BaseRegistry, project: str, memory: int) -> EntityQuery:
        """From a SELECT statement, or from the path of a Parquet file or folder (relative to the feature repository).

        Raises:
            BadFeatures: it is neither, or the statement names a table there is not.
        """
        if _is_path(text):
            filesystem, path = files.located(text, config.repo_path)
            dataset = files.parquet(filesystem, path, "The path of entity rows")
            # DuckDB reads a disk within its own limit of memory, which Arrow, handing it batches, knows nothing of.
            own = isinstance(filesystem, fs.LocalFileSystem) and files.is_uniform(dataset)
            return cls("SELECT * FROM entity_rows", {("", "entity_rows"): dataset.files if own else dataset}, memory)
        names = _tables_of(text)
        return cls(text, {name: _table(name, config, registry, project) for name in names}, memory)

    @cached_property
    def schema(self) -> pa.Schema:
        """What the query gives."""
        with self._connection() as connection:
            return connection.sql(f"SELECT * FROM ({self.sql}) LIMIT 0").to_arrow_table().schema  # noqa: S608 - parsed

    @cached_property
    def time(self) -> str:
        """The column of the rows' moments."""
        return time_column(self.schema)

    @cached_property
    def _summary(self) -> tuple[int, datetime | None, datetime | None]:
        time = quote_ident(self.time)
        with self._connection() as connection:
            found = connection.sql(
                f"SELECT count(*), min(t)::TIMESTAMPTZ lo, max(t)::TIMESTAMPTZ hi"  # noqa: S608 - parsed
                f" FROM (SELECT {time} AS t FROM ({self.sql}))"
            ).to_arrow_table()
        bounds = pa.concat_arrays([utc(found[name].combine_chunks()) for name in ("lo", "hi")])
        return found.column(0)[0].as_py(), *bounds_of(bounds)

    def whole(self) -> EntityRows:
        with self._connection(in_order=True) as connection:
            return EntityRows.of(connection.sql(self.sql).to_arrow_table())

    def by_time(self, rows: int) -> Iterator[EntityRows]:
        time = quote_ident(self.time)
        ordered = f"SELECT * FROM ({self.sql}) ORDER BY {time}::TIMESTAMPTZ NULLS FIRST"  # noqa: S608 - parsed
        with self._connection() as connection:
            empty = True
            for batch in connection.sql(ordered).to_arrow_reader(rows):
                empty = False
                yield EntityRows.of(pa.Table.from_batches([batch]))
            if empty:
                yield EntityRows.of(self.schema.empty_table())

    def between(self) -> tuple[datetime | None, datetime | None]:
        return self._summary[1:]

    def count(self) -> int:
        return self._summary[0]

    def width(self) -> int:
        return 16 * len(self.schema)

    @contextmanager
    def _connection(self, in_order: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection that has the tables and nothing else.

        Args:
            in_order: Whether rows must come in the order of the files, which takes more memory.
        """
        with tempfile.TemporaryDirectory(prefix="perennial-spill-") as spill, duckdb.connect() as connection:
            connection.execute("SET python_enable_replacements = false")
            connection.execute("SET TimeZone = 'UTC'")
            connection.execute("SET enable_progress_bar = false")
            memory = max(self.memory, _LEAST_MEMORY)
            connection.execute(f"SET memory_limit = '{memory >> 20}MiB'")
            connection.execute(f"SET threads = {min(os.cpu_count() or 1, memory // _LEAST_MEMORY)}")
            connection.execute(f"SET preserve_insertion_order = {str(in_order).lower()}")
            connection.execute(f"SET temp_directory = {quote_literal(spill)}")
            allowed: list[str] = []
            for number, ((schema, name), held) in enumerate(self.tables.items()):
                if isinstance(held, list):
                    allowed += held
                    rows = f"read_parquet({_text(*held)}, hive_partitioning = false)"
                else:
                    connection.register(f"__{number}", held)
                    rows = f'"__{number}"'
                if schema:
                    connection.execute(f"CREATE SCHEMA IF NOT EXISTS {quote_ident(schema)}")
                target = f"{quote_ident(schema)}.{quote_ident(name)}" if schema else quote_ident(name)
                connection.execute(f"CREATE VIEW {target} AS FROM {rows}")
            if allowed:
                connection.execute(f"SET allowed_paths = {_text(*allowed)}")
            connection.execute("SET enable_external_access = false")
            connection.execute("SET lock_configuration = true")
            try:
                yield connection
            except duckdb.Error as error:
                raise BadFeatures(f"The query for entity rows failed: {error}", "Mend the SELECT statement.") from error


def _is_path(text: str) -> bool:
    return not any(character.isspace() for character in text.strip()) and ("/" in text or files.is_file(text))


def _tables_of(sql: str) -> set[Name]:
    """The tables a SELECT statement names, as it names them.

    Raises:
        BadFeatures: it is anything but one SELECT statement, or calls a function that reads from elsewhere.
    """
    with duckdb.connect() as parser:
        row = parser.execute("SELECT json_serialize_sql(?::VARCHAR)", [sql]).fetchone()
    parsed = json.loads(row[0]) if row else {}
    if parsed.get("error"):
        raise BadFeatures(
            f"Entity rows cannot be had by {sql[:80]!r}: {parsed.get('error_message')}",
            "Pass one SELECT statement over tables of the lake, such as SELECT ... FROM flights.examples.",
        )
    if len(parsed.get("statements", ())) != 1:
        raise BadFeatures("Entity rows are given by one SELECT statement, not several.", "Pass only one.")
    tables: set[Name] = set()
    own: set[str] = set()
    nodes = [parsed]
    while nodes:
        node = nodes.pop()
        if isinstance(node, dict):
            kind, function = node.get("type"), node.get("function")
            if kind == "BASE_TABLE":
                if node.get("catalog_name"):
                    raise BadFeatures(
                        f"The query names a table of another database, {node['catalog_name']!r}.",
                        "Name tables of the lake as <use case>.<table>.",
                    )
                tables.add((node.get("schema_name") or "", node["table_name"]))
            elif kind == "TABLE_FUNCTION" and isinstance(function, dict):
                called = function.get("function_name")
                if called not in _HARMLESS:
                    raise BadFeatures(
                        f"The query calls {called}(), which reads from outside the lake.",
                        "Write the rows into a table of the lake, or pass the Parquet file's path alone.",
                    )
            own |= {entry["key"] for entry in (node.get("cte_map") or {}).get("map", ())}
            nodes += node.values()
        elif isinstance(node, list):
            nodes += node
    return {(schema, name) for schema, name in tables if schema or name not in own}


def _table(name: Name, config: RepoConfig, registry: BaseRegistry, project: str) -> ds.Dataset:
    """What a query's table holds: a table of the lake, or else a data source of Feast's."""
    whole = ".".join(part for part in name if part)
    if "." in whole:
        snapshots = getattr(config.offline_store, "snapshots", {})
        found = lake_files.dataset(whole, snapshot=snapshots.get(whole))
        if found is not None:
            return found
    try:
        source = registry.get_data_source(whole, project, allow_cache=True)
    except DataSourceObjectNotFoundException as error:
        raise BadFeatures(
            f"The query names {whole!r}, which is neither a table of the lake nor a data source.",
            "Name tables as <use case>.<table>, or a source as feature_repo/ does.",
        ) from error
    return open_scan(source, config).dataset


def _text(*values: str) -> str:
    """A list of strings in SQL."""
    return "[" + ", ".join(map(quote_literal, values)) + "]"
