"""Reads a scan for one partition by DuckDB: its rows as their declared types, and what cannot be read."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import duckdb
import pyarrow as pa

from perennial._common.duckdb_session import fetch_table, in_parts
from perennial._common.sql_quoting import quote_ident
from perennial.partitions import Partition
from perennial.sources import swapped_signs
from perennial.sources.columns import Column, is_unsupported, missing, reading, usual
from perennial.sources.csv_files import RECORD
from perennial.sources.record_sources import RecordSource
from perennial.sources.swapped_signs import Evidence

#: So many columns are read by one query, and so many conditions are counted by one.
_READ, _COUNTED = 50, 10
#: What a record breaks that has no columns.
LINE = "unreadable(line)"


@dataclass(frozen=True)
class TimeRange:
    """The rows whose `time` is from `start` (included) to `end` (excluded), both UTC."""

    time: str
    start: datetime
    end: datetime

    @classmethod
    def of(cls, partition: Partition, time: str, since: datetime | None, until: datetime | None) -> TimeRange:
        """The rows of a partition, of an open one its part, that are not before `since`, nor at or after `until`.

        Args:
            partition: Whose rows.
            time: The column of event time.
            since: A bound beside the partition's start; None: no such bound.
            until: A bound beside the partition's end; None: no such bound.
        """
        return cls(time, max(partition.since, since or partition.since), min(partition.until, until or partition.until))


@dataclass
class PartReading:
    """One scan, read for one part.

    Attributes:
        kinds: Column of the data -> DuckDB's type of it.
        readings: Column -> the SQL that reads a value `{c}` of it.
        values: Column -> that of its value.
        bad: Column -> the condition that its value cannot be read.
        problems: Record -> (name of what it breaks, what is wrong), of those that cannot be read.
        doubts: Column -> why values of it are doubtful, and the condition that one is.
    """

    connection: duckdb.DuckDBPyConnection
    scan: RecordSource
    declared: dict[str, Column]
    part: TimeRange | None
    readings: dict[str, str] = field(default_factory=dict)
    values: dict[str, str] = field(default_factory=dict)
    bad: dict[str, str] = field(default_factory=dict)
    kinds: dict[str, str] = field(init=False)
    raw: dict[str, str] = field(init=False)
    problems: dict[int, list[tuple[str, str]]] = field(default_factory=dict)
    doubts: dict[str, tuple[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.kinds = self.scan.kinds
        self.sources = list(dict.fromkeys(each.source for each in self.declared.values()))
        places = {source: f"c{number}" for number, source in enumerate(self.sources)}
        self.raw = {name: places[each.source] for name, each in self.declared.items()}
        for name, each in self.declared.items():
            self._read_by(name, reading(each, self.kinds[each.source]))

    def _read_by(self, name: str, sql: str) -> None:
        """Read a column by the SQL of a value `{c}` of it."""
        each = self.declared[name]
        value = sql.replace("{c}", self.raw[name])
        self.readings[name], self.values[name] = sql, value
        if self.part and name == self.part.time:
            self.bad[name] = f"({value}) IS NULL"
        elif value != self.raw[name]:
            is_missing = missing(each, self.kinds[each.source], self.scan.nulls).replace("{c}", self.raw[name])
            self.bad[name] = f"({value}) IS NULL AND NOT ({is_missing})"

    def cut_out(self) -> None:
        """Make table `part`: the rows of the part, and those whose time cannot be read, as they are in the data."""
        kept = [*(f"c{number}" for number in range(len(self.sources))), RECORD]
        relation = self.scan.relation(self.connection, self.sources)
        sql = f"SELECT {', '.join(kept)}, NULL AS moment FROM {relation}"  # noqa: S608
        bounds: dict[str, Any] = {}
        if self.part is not None:
            timed = f"SELECT *, {self.values[self.part.time]} AS moment FROM {relation}"  # noqa: S608
            where = "moment >= $start AND moment < $end OR moment IS NULL"
            sql = f"SELECT {', '.join(kept)}, moment FROM ({timed}) WHERE {where}"  # noqa: S608
            bounds = {"start": self.part.start, "end": self.part.end}
        self._create("part", sql, bounds)
        self._read_usual()

    def _read_usual(self) -> None:
        """Read columns as `usual` where all values of the part can be: DuckDB plans that many times faster."""
        values = {
            name: sql.replace("{c}", self.raw[name])
            for name, each in self.declared.items()
            if name not in self.doubts and (sql := usual(each, self.kinds[each.source])) is not None
        }
        others = self._count({name: f"{self.raw[name]} <> '' AND ({sql}) IS NULL" for name, sql in values.items()})
        for name, sql in values.items():
            if name in others:
                self._read_by(name, self.readings[name])
            else:
                self.values[name] = sql
                self.bad.pop(name, None)

    def _create(self, table: str, sql: str, parameters: dict[str, Any]) -> None:
        try:
            self.connection.execute(f"CREATE OR REPLACE TEMP TABLE {table} AS {sql}", parameters or None)
        except Exception:
            self.scan.check()
            raise
        self.scan.check()

    def find_problems(self) -> dict[str, int]:
        """Fill `problems`, and return how many values of each column cannot be read."""
        counts = self._count(self.bad)
        if self._doubt(counts):
            self.cut_out()
            counts = self._count(self.bad)
        for name in counts:
            column = self.declared[name]
            kind = self.kinds[column.source]
            written = f" written like {column.format}" if column.format else ""
            written += f", as the file's type is {kind}" if kind == "INTERVAL" or is_unsupported(kind) else ""
            note, is_doubtful = self.doubts.get(name, ("", "false"))
            shown = f"{RECORD}, CAST({self.raw[name]} AS VARCHAR), {is_doubtful}"
            sql = f"SELECT {shown} FROM part WHERE {self.bad[name]}"  # noqa: S608
            for record, value, why in self.connection.execute(sql).fetchall():
                problem = f"column {column.source!r}: {value!r} cannot be read as {column.type}{written}"
                if value is None:
                    problem = f"column {column.source!r} has no value, and a row without a time belongs to no partition"
                problem += f"; {note}" if why else ""
                self.problems.setdefault(record, []).append((f"unreadable({name})", problem))
        for record, problem in self.scan.ragged.items():
            self.problems.setdefault(record, []).append((LINE, problem))
        return counts

    def _count(self, conditions: Mapping[str, str], relation: str = "part") -> dict[str, int]:
        """Name -> how many rows fulfil its condition, of those that any row fulfils."""
        counts: dict[str, int] = {}
        for names in in_parts(conditions, _COUNTED):
            asked = ", ".join(f"count_if({conditions[name]})" for name in names)
            (found,) = self.connection.execute(f"SELECT {asked} FROM {relation}").fetchall()  # noqa: S608
            counts |= {name: count for name, count in zip(names, found, strict=True) if count}
        return counts

    def _doubt(self, bad: Collection[str]) -> bool:
        """Whether others show that values which can be read are doubtful; these are bad from now on.

        Args:
            bad: Columns with values that cannot be read.
        """
        others = {
            name: other
            for name, each in self.declared.items()
            if self.kinds[each.source] == "VARCHAR" and (other := swapped_signs.swapped(each)) is not None
        }
        time = self.part.time if self.part else ""
        doubtful: list[str] = []
        for is_time, is_number in ((True, False), (False, False), (False, True)):
            group = [
                name
                for name in others
                if (name == time) is is_time and (self.declared[name].type != "timestamp") is is_number
            ]
            ways = {name: swapped_signs.counted(self.declared[name], others[name]) for name in group}
            if self._count({name: ways[name][1].replace("{c}", self.raw[name]) for name in group if name in bad}):
                doubtful += swapped_signs.doubtful(self._evidence(ways, of_file=is_time))
        for name in doubtful:
            note = f"other values of the file are written {swapped_signs.described(others[name])}"
            self.doubts[name] = (note, f"({self.values[name]}) IS NOT NULL")
            self._read_by(name, swapped_signs.certain(self.declared[name], others[name]))
        return bool(doubtful)

    def _evidence(self, ways: Mapping[str, tuple[str, str]], *, of_file: bool) -> dict[str, Evidence]:
        """Column -> how many of its values can be read in one of two ways only.

        Args:
            ways: Column -> the conditions of either, for a value `{c}`.
            of_file: Look at all of the file, not at the part only: this is about the time of the part.
        """
        relation, raw = "part", self.raw
        if of_file and self.scan.is_repeatable:
            (name,) = ways
            relation, raw = "times", {name: "c0"}
            times = self.scan.relation(self.connection, [self.declared[name].source])
            self._create(relation, f"SELECT c0 FROM {times}", {})  # noqa: S608
        declared, swapped = (
            self._count({name: each[way].replace("{c}", raw[name]) for name, each in ways.items()}, relation)
            for way in (0, 1)
        )
        return {name: Evidence(declared.get(name, 0), swapped.get(name, 0)) for name in ways}

    def place(self) -> tuple[set[int], set[int]]:
        """The records without a time of their own that belong elsewhere, and those that belong to no partition.

        Such a record goes with its neighbours: it is of the time of the last one before it in its file whose time can
        be read, else of the first one after it.
        """
        if self.part is None:
            return set(), set()
        time = f"unreadable({self.part.time})"
        untimed = [record for record, why in self.problems.items() if any(name in (time, LINE) for name, _ in why)]
        if not untimed or not self.scan.is_repeatable:
            return set(), set(untimed)
        column = self.declared[self.part.time]
        moment = self.readings[self.part.time].replace("{c}", "c0")
        relation = self.scan.relation(self.connection, [column.source])
        sql = f"SELECT {RECORD}, {moment} AS moment FROM {relation} WHERE moment IS NOT NULL"  # noqa: S608
        self._create("moments", sql, {})
        self.connection.register("untimed", pa.table({RECORD: pa.array(untimed, pa.int64())}))
        found = self.connection.execute(
            "SELECT untimed.record, coalesce(before.moment, after.moment) >= $start AND"
            " coalesce(before.moment, after.moment) < $end FROM untimed"
            " ASOF LEFT JOIN moments AS before ON untimed.record > before.record"
            " ASOF LEFT JOIN moments AS after ON untimed.record < after.record",
            {"start": self.part.start, "end": self.part.end},
        ).fetchall()
        return {record for record, here in found if here is False}, {record for record, here in found if here is None}

    def rows(self, without: set[int]) -> pa.Table:
        """The rows of the part, but for some records."""
        where = ""
        if without:
            self.connection.register("without", pa.table({RECORD: pa.array(sorted(without), pa.int64())}))
            where = f" WHERE {RECORD} NOT IN (FROM without)"
        blocks = list(in_parts(self.values, _READ))
        # In the order of the data as they are; the blocks of one row must meet again, whatever DuckDB does.
        order = f" ORDER BY {RECORD}" if without or len(blocks) > 1 else ""
        read: dict[str, pa.ChunkedArray] = {}
        for names in blocks:
            asked = ", ".join(f"{self.values[name]} AS {quote_ident(name)}" for name in names)
            block = fetch_table(self.connection, f"SELECT {asked} FROM part{where}{order}")  # noqa: S608
            read |= dict(zip(names, block.columns, strict=True))
        return pa.table(read)

    def shown(self, records: list[int]) -> dict[int, tuple[int | None, str]]:
        """Record -> line and text; where the data is no text, the declared columns as JSON."""
        found: dict[int, tuple[int | None, str]] = dict(self.scan.shown(records))
        rest = [record for record in records if record not in found]
        if rest:
            self.connection.register("wanted", pa.table({RECORD: pa.array(rest, pa.int64())}))
            row = ", ".join(f"{quote_ident(name)} := c{number}" for number, name in enumerate(self.sources))
            sql = f"SELECT {RECORD}, to_json(struct_pack({row})) FROM part WHERE {RECORD} IN (FROM wanted)"  # noqa: S608
            found |= {record: (None, text) for record, text in self.connection.execute(sql).fetchall()}
        return found
