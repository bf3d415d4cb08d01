"""Caches the rows of small lake tables in this process, and on disk for the next one.

Rows are cached by the data file they came from. The address of a table's metadata file changes with every commit; if it
is another one, rows of files that are still part of the table stay, and only the other files are read.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import Any

from perennial.lake_cache import iceberg, on_disk
from perennial.lake_cache.cached_table import CachedTable, Key
from perennial.lake_cache.iceberg import Contents, Row, UnsupportedTableError

#: Bytes of rows, by estimate, that a process keeps; the tables used longest ago are dropped first.
LIMIT = 256_000_000
#: A table larger than this is not small: it is read each time.
_LARGEST = LIMIT // 4


_cached: OrderedDict[Key, CachedTable] = OrderedDict()  # The table used last is last.
_memory_lock, _reading_lock = Lock(), Lock()


def current(locations: Mapping[Key, str]) -> dict[Key, CachedTable]:
    """Each table as of the given metadata file: from memory, else from disk, else from the lake.

    Args:
        locations: Table and columns -> address of the metadata file.

    Raises:
        DamagedFile: a file of a table cannot be read.
    """
    tables = _from_memory(locations)
    if len(tables) < len(locations):
        with _reading_lock:  # A thread that waited for the same tables finds them read.
            tables = _from_memory(locations)
            missing = {key: location for key, location in locations.items() if key not in tables}
            tables |= _update(missing)
    return tables


def clear() -> None:
    """Empty this process's memory."""
    with _memory_lock:
        _cached.clear()


def _from_memory(locations: Mapping[Key, str]) -> dict[Key, CachedTable]:
    tables = {}
    with _memory_lock:
        for key, location in locations.items():
            table = _cached.get(key)
            if table is not None and table.location == location:
                _cached.move_to_end(key)
                tables[key] = table
    return tables


def _update(missing: Mapping[Key, str]) -> dict[Key, CachedTable]:
    with _memory_lock:
        earlier = {key: _cached[key] for key in missing if key in _cached}
    earlier |= on_disk.load([key for key in missing if key not in earlier])
    unchanged = {key: table for key, table in earlier.items() if table.location == missing[key]}
    fresh = _read({key: location for key, location in missing.items() if key not in unchanged}, earlier)
    small = {key: table for key, table in (unchanged | fresh).items() if table.size <= _LARGEST}
    _to_memory(small)
    on_disk.save({key: table for key, table in small.items() if key in fresh})
    return unchanged | fresh


def _to_memory(fresh: Mapping[Key, CachedTable]) -> None:
    with _memory_lock:
        for key, table in fresh.items():
            _cached.pop(key, None)
            _cached[key] = table
        size = sum(table.size for table in _cached.values())
        while size > LIMIT:
            _, oldest = _cached.popitem(last=False)
            size -= oldest.size


def _read(locations: Mapping[Key, str], earlier: Mapping[Key, CachedTable]) -> dict[Key, CachedTable]:
    """Tables as of the metadata named, of which only what `earlier` does not hold is read."""
    unsupported: list[Key] = []
    contents: dict[Key, Contents] = {}
    for key, location in locations.items():
        try:
            contents[key] = iceberg.contents(location, earlier[key].manifests if key in earlier else {})
        except UnsupportedTableError:
            unsupported.append(key)
    reusable = {key: _reusable(key, parts, earlier.get(key)) for key, parts in contents.items()}
    fresh = _read_together({key: (parts, reusable[key]) for key, parts in contents.items()})
    tables = {
        key: CachedTable(
            locations[key],
            _columns(key, parts),
            parts.manifests,
            {file: reusable[key][file] if file in reusable[key] else fresh[file, key[1]] for file in parts.files},
        )
        for key, parts in contents.items()
    }
    return tables | _read_by_pyiceberg(unsupported, locations)


def _columns(key: Key, parts: Contents) -> tuple[str, ...]:
    return key[1] or tuple(name for name, _ in parts.schema)


def _reusable(key: Key, parts: Contents, table: CachedTable | None) -> dict[str, list[Row]]:
    """The rows that are cached, unless the table's columns have changed since."""
    return table.files if table is not None and table.columns == _columns(key, parts) else {}


def _read_together(tables: Mapping[Key, tuple[Contents, Mapping[str, list[Row]]]]) -> dict[tuple[str, Any], list[Row]]:
    """The rows of all files that are not known yet; tables of one schema, of whichever use case, in one query."""
    alike: dict[tuple[Any, ...], dict[str, None]] = {}
    for key, (parts, reusable) in tables.items():
        files = {file: None for file in parts.files if file not in reusable}
        if files:
            alike.setdefault((parts.schema, _columns(key, parts), key[1]), {}).update(files)
    return {
        (file, chosen): rows
        for (_, columns, chosen), files in alike.items()
        for file, rows in iceberg.rows(list(files), columns).items()
    }


def _read_by_pyiceberg(keys: list[Key], where: Mapping[Key, str]) -> dict[Key, CachedTable]:
    if not keys:
        return {}
    from perennial import lake

    def read(key: Key) -> CachedTable:
        name, chosen = key
        table = lake.table(name)
        existing = table.schema().column_names if table is not None else []
        rows = lake.records(name, columns=[column for column in chosen if column in existing] or ("*",))
        columns = chosen or tuple(existing)
        return CachedTable(
            where[key], columns, files={where[key]: [{name: row.get(name) for name in columns} for row in rows]}
        )

    with ThreadPoolExecutor(8) as threads:  # They mostly wait for the store.
        return dict(zip(keys, threads.map(read, keys), strict=True))
