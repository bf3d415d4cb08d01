"""What was read for a partition: its rows, those that cannot be read, and how many of each file belong elsewhere.

A source returns its rows as a plain table, which it may change at will; what cannot be read goes past it, to whoever
collects it. So no step between a file and the lake can lose a row.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

#: Records that cannot be read as declared. `file` is the file or table, `line` where the record begins in it (null: not
#: of a text file), `text` the record as it is there, `problem` what is wrong with it, `reason` that in short, and
#: `is_placed` whether it is known to belong to the partition; if not, the first partition that meets it keeps it.
UNREADABLE = pa.schema(
    [
        ("file", pa.string()),
        ("line", pa.int64()),
        ("text", pa.string()),
        ("problem", pa.string()),
        ("reason", pa.string()),
        ("is_placed", pa.bool_()),
    ]
)
_METADATA = b"perennial.unreadable"


@dataclass(frozen=True)
class FileCounts:
    """What became of the records of one file or table: `total` is the sum of the others.

    Attributes:
        file: Its address.
        total: Its records; of a table of a database, those that it was asked for.
        rows: Those of the partition that were read.
        unreadable: Those that cannot be read, of the partition or of none.
        elsewhere: Those that belong to other partitions, the unreadable ones among them.
        missing: Values that cannot be read and were made missing, where the source says `unreadable="null"`.
        dialect: How it is written, if otherwise than declared.
    """

    file: str
    total: int
    rows: int
    unreadable: int
    elsewhere: int
    missing: int = 0
    dialect: str = ""


@dataclass(frozen=True)
class Batch:
    """What was read for a partition.

    Attributes:
        rows: The rows, in the declared types.
        unreadable: The records that cannot be read (schema `UNREADABLE`).
        files: What became of the records of each file.
        left_out: Address -> why a file of the place was not read.
    """

    rows: pa.Table
    unreadable: pa.Table = field(default_factory=UNREADABLE.empty_table)
    files: tuple[FileCounts, ...] = ()
    left_out: dict[str, str] = field(default_factory=dict)

    def without(self, elsewhere: pa.Array) -> Batch:
        """The batch without some unreadable records, which count as those of other partitions then.

        Args:
            elsewhere: (n,) bool: which of the unreadable records.
        """
        moved = Counter(self.unreadable.filter(elsewhere)["file"].to_pylist())
        files = tuple(
            replace(each, unreadable=each.unreadable - moved[each.file], elsewhere=each.elsewhere + moved[each.file])
            for each in self.files
        )
        return replace(self, unreadable=self.unreadable.filter(pc.invert(elsewhere)), files=files)

    def summary(self) -> dict[str, int]:
        """Counts over all files, ready for JSON: `total` is `rows` + `unreadable` + `elsewhere`."""
        names = ("total", "rows", "unreadable", "elsewhere", "missing")
        counts = {name: sum(getattr(each, name) for each in self.files) for name in names}
        return {"files": len(self.files), "left_out": len(self.left_out), **counts}


@dataclass
class Collected:
    """What the reads of a source gave beside its rows."""

    batches: list[Batch] = field(default_factory=list)

    def with_rows(self, rows: pa.Table) -> Batch:
        """One batch of everything: the rows that the source made of what was read, and all that was not.

        Args:
            rows: The rows; a record or a file that was read twice counts once.
        """
        unreadable = pa.concat_tables([UNREADABLE.empty_table(), *(each.unreadable for each in self.batches)])
        if len(self.batches) > 1:
            # Equal records of one read are several.
            most: Counter[str] = Counter()
            for each in self.batches:
                most |= Counter(map(json.dumps, each.unreadable.to_pylist()))
            unreadable = unreadable_rows([json.loads(row) for row in most.elements()])
        files = {each.file: each for batch in self.batches for each in batch.files}
        left_out = {address: why for batch in self.batches for address, why in batch.left_out.items()}
        return Batch(rows, unreadable, tuple(files.values()), left_out)


_COLLECTED: ContextVar[Collected | None] = ContextVar("perennial_collected", default=None)


@contextmanager
def collecting() -> Iterator[Collected]:
    """Collect what the reads inside the block cannot read; outside of such a block it is an error."""
    collected = Collected()
    token = _COLLECTED.set(collected)
    try:
        yield collected
    finally:
        _COLLECTED.reset(token)


def collect(batch: Batch) -> bool:
    """Hand a batch to whoever collects; False: nobody does."""
    collected = _COLLECTED.get()
    if collected is not None:
        collected.batches.append(batch)
    return collected is not None


def packed(rows: pa.Table, unreadable: pa.Table) -> pa.Table:
    """The rows with the unreadable records in their schema's metadata, so that they are kept together.

    Args:
        rows: Rows.
        unreadable: As `UNREADABLE`.
    """
    if not unreadable.num_rows:
        return rows
    known = {_METADATA: json.dumps(unreadable.to_pylist()).encode()}
    return rows.replace_schema_metadata({**(rows.schema.metadata or {}), **known})


def unpacked(rows: pa.Table) -> tuple[pa.Table, pa.Table]:
    """The rows and the unreadable records of what `packed` gave."""
    metadata = dict(rows.schema.metadata or {})
    content = metadata.pop(_METADATA, None)
    if content is None:
        return rows, UNREADABLE.empty_table()
    return rows.replace_schema_metadata(metadata or None), pa.Table.from_pylist(json.loads(content), UNREADABLE)


def unreadable_rows(records: Sequence[dict[str, Any]]) -> pa.Table:
    """Unreadable records as a table (schema `UNREADABLE`)."""
    return pa.Table.from_pylist(list(records), UNREADABLE)
