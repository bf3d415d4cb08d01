"""What was read of the lake's small tables, kept in this process and in a file under home.

Each table's rows are kept by the files that they came from. Whether they are those of now is told by the address of the
table's metadata: it is another one after every commit. Then what is still part of the table stays, the rest is read or
dropped. Nothing is ever wrong to forget: the file may be deleted at any time.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from threading import Lock
from typing import Any

from perennial.lake_cache import disk, iceberg
from perennial.lake_cache.iceberg import Contents, OffThePathError, Row

#: A table and the columns that are kept of it; none: all.
Key = tuple[str, tuple[str, ...]]

#: Bytes of rows, by estimate, that a process keeps; the tables asked for longest ago are forgotten first.
LIMIT = 256_000_000
#: A table larger than this is not small: it is read each time.
_LARGEST = LIMIT // 4


@dataclass(frozen=True)
class Held:
    """A table as of one snapshot.

    Attributes:
        location: The metadata file of that snapshot.
        columns: The keys of each row.
        manifests: Manifest -> its data files; empty of a table off Iceberg's shortest path.
        files: Data file -> its rows, which nobody may change; of a table off that path all rows under `location`.
    """

    location: str
    columns: tuple[str, ...]
    manifests: dict[str, list[str]] = field(default_factory=dict)
    files: dict[str, list[Row]] = field(default_factory=dict)

    def rows(self) -> Iterator[Row]:
        for rows in self.files.values():
            yield from rows

    @cached_property
    def size(self) -> int:
        """Bytes in memory, by estimate."""
        return sum(
            250 + sum(50 + len(value) if isinstance(value, str) else 40 for value in row.values())
            for row in self.rows()
        )


_held: OrderedDict[Key, Held] = OrderedDict()  # The table used last stands last.
_changing, _reading = Lock(), Lock()


def current(wanted: Mapping[Key, str]) -> dict[Key, Held]:
    """Each table as of the metadata named: from memory, else from the file under home, else from the lake.

    Raises:
        DamagedFile: a file of a table cannot be read.
    """
    found = _remembered(wanted)
    if len(found) < len(wanted):
        with _reading:  # Whoever waited here for the same tables finds them read.
            found = _remembered(wanted)
            missing = {key: location for key, location in wanted.items() if key not in found}
            found |= _brought_up_to_date(missing)
    return found


def forget() -> None:
    """Empty this process's memory."""
    with _changing:
        _held.clear()


def _remembered(wanted: Mapping[Key, str]) -> dict[Key, Held]:
    found = {}
    with _changing:
        for key, location in wanted.items():
            held = _held.get(key)
            if held is not None and held.location == location:
                _held.move_to_end(key)
                found[key] = held
    return found


def _brought_up_to_date(missing: Mapping[Key, str]) -> dict[Key, Held]:
    with _changing:
        earlier = {key: _held[key] for key in missing if key in _held}
    earlier |= disk.load([key for key in missing if key not in earlier])
    found = {key: held for key, held in earlier.items() if held.location == missing[key]}
    fresh = _read({key: location for key, location in missing.items() if key not in found}, earlier)
    small = {key: held for key, held in (found | fresh).items() if held.size <= _LARGEST}
    _remember(small)
    disk.save({key: held for key, held in small.items() if key in fresh})
    return found | fresh


def _remember(fresh: Mapping[Key, Held]) -> None:
    with _changing:
        for key, held in fresh.items():
            _held.pop(key, None)
            _held[key] = held
        size = sum(held.size for held in _held.values())
        while size > LIMIT:
            _, oldest = _held.popitem(last=False)
            size -= oldest.size


def _read(wanted: Mapping[Key, str], earlier: Mapping[Key, Held]) -> dict[Key, Held]:
    """Tables as of the metadata named, of which only what `earlier` does not hold is read."""
    elsewhere: list[Key] = []
    contents: dict[Key, Contents] = {}
    for key, location in wanted.items():
        try:
            contents[key] = iceberg.contents(location, earlier[key].manifests if key in earlier else {})
        except OffThePathError:
            elsewhere.append(key)
    known = {key: _still_known(key, parts, earlier.get(key)) for key, parts in contents.items()}
    fresh = _read_together({key: (parts, known[key]) for key, parts in contents.items()})
    found = {
        key: Held(
            wanted[key],
            _columns(key, parts),
            parts.manifests,
            {file: known[key][file] if file in known[key] else fresh[file, key[1]] for file in parts.files},
        )
        for key, parts in contents.items()
    }
    return found | _through_the_lake(elsewhere, wanted)


def _columns(key: Key, parts: Contents) -> tuple[str, ...]:
    return key[1] or tuple(name for name, _ in parts.schema)


def _still_known(key: Key, parts: Contents, held: Held | None) -> dict[str, list[Row]]:
    """The rows held before, unless the table has got other columns since."""
    return held.files if held is not None and held.columns == _columns(key, parts) else {}


def _read_together(tables: Mapping[Key, tuple[Contents, Mapping[str, list[Row]]]]) -> dict[tuple[str, Any], list[Row]]:
    """The rows of all files that are not known yet; tables of one schema, of whichever use case, in one query."""
    alike: dict[tuple[Any, ...], dict[str, None]] = {}
    for key, (parts, known) in tables.items():
        files = {file: None for file in parts.files if file not in known}
        if files:
            alike.setdefault((parts.schema, _columns(key, parts), key[1]), {}).update(files)
    return {
        (file, chosen): rows
        for (_, columns, chosen), files in alike.items()
        for file, rows in iceberg.rows(list(files), columns).items()
    }


def _through_the_lake(keys: list[Key], where: Mapping[Key, str]) -> dict[Key, Held]:
    if not keys:
        return {}
    from perennial import lake

    def read(key: Key) -> Held:
        name, chosen = key
        table = lake.table(name)
        held = table.schema().column_names if table is not None else []
        rows = lake.records(name, columns=[column for column in chosen if column in held] or ("*",))
        columns = chosen or tuple(held)
        return Held(
            where[key], columns, files={where[key]: [{name: row.get(name) for name in columns} for row in rows]}
        )

    with ThreadPoolExecutor(8) as threads:  # Mostly they wait for the store.
        return dict(zip(keys, threads.map(read, keys), strict=True))
