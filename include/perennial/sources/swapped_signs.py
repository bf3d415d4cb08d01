"""Tells values that are written in two ways: whether 1.234 has decimals or thousands, and 05/09 is in May or September.

Each is read as declared. But where other values of a file can only be read with the signs swapped, the file is probably
written so, and what both ways would read, as two different values, is doubtful.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from perennial.sources.columns import Column, reading

#: Up to this share of a file's values that tell may be written the other way, and are taken for slips of the pen.
_SLIPS = 0.05


@dataclass(frozen=True)
class Evidence:
    """How many values of a column can be read in one way only.

    Attributes:
        declared: As the column is declared.
        swapped: With the signs swapped.
    """

    declared: int = 0
    swapped: int = 0

    def __add__(self, other: Evidence) -> Evidence:
        return Evidence(self.declared + other.declared, self.swapped + other.swapped)

    @property
    def is_doubt(self) -> bool:
        """Whether the file is probably not written as declared."""
        return self.swapped > _SLIPS * (self.declared + self.swapped)


def swapped(column: Column) -> Column | None:
    """A column with its signs for decimals and thousands swapped, or day and month; None: it has no such."""
    if column.type in ("int64", "float64"):
        return replace(column, decimal="," if column.decimal == "." else ".", thousands=column.decimal)
    if column.type == "timestamp" and "%d" in column.format and "%m" in column.format and not column.unit:
        form = column.format.replace("%d", "%\0").replace("%m", "%d").replace("%\0", "%m")
        return replace(column, format=form)
    return None


def counted(column: Column, other: Column) -> tuple[str, str]:
    """The SQL conditions that a text `{c}` can be read as declared only, and with the signs swapped only.

    Args:
        column: As it is declared.
        other: With its signs swapped.
    """
    one, two = reading(column, "VARCHAR"), reading(other, "VARCHAR")
    return f"({one}) IS NOT NULL AND ({two}) IS NULL", f"({one}) IS NULL AND ({two}) IS NOT NULL"


def certain(column: Column, other: Column) -> str:
    """The SQL that reads a text `{c}` as declared, and as null what would be another value with the signs swapped.

    Args:
        column: As it is declared.
        other: With its signs swapped.
    """
    one, two = reading(column, "VARCHAR"), reading(other, "VARCHAR")
    return f"CASE WHEN ({two}) IS NULL OR ({two}) = ({one}) THEN {one} END"


def doubtful(found: Mapping[str, Evidence]) -> list[str]:
    """The columns that are probably not written as declared; one that tells nothing is like the others.

    Args:
        found: Column -> what its values tell, of columns that are written in one way, such as all numbers of a file.
    """
    total = sum(found.values(), Evidence())
    return [name for name, each in found.items() if (each if each != Evidence() else total).is_doubt]


def described(other: Column) -> str:
    """How a column is written, for a person."""
    if other.type == "timestamp":
        return f"like {other.format}"
    return f"with {other.decimal!r} before decimals and {other.thousands!r} between thousands"
