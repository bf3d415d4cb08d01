"""Turns the data's column names into valid names of columns, Feast fields and Python arguments."""

from __future__ import annotations

import keyword
import re
import unicodedata
from collections.abc import Collection, Iterable

#: Names of columns that the library gives to examples, predictions and lake tables, and the look to what it asks.
RESERVED = frozenset(
    {
        *("label", "label_timestamp", "event_timestamp", "created", "partition", "row_id", "series"),
        *("prediction", "predicted_at", "model_version", "model_run", "lake_snapshots", "code_version"),
        *("served_as", "prediction_id", "decision"),
        *("hour_of_day", "day_of_week", "month_of_year"),
        *("moment", "rowid", "each_row"),
    }
)
_LONGEST = 30
_SOUNDS_LIKE_ID = re.compile(r"(^|_)(id|key|uuid|guid|no|nr|number)$")


def plain(name: str) -> str:
    """`name` in lower case letters, digits and single underscores, beginning with a letter."""
    ascii_only = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", ascii_only).lower()
    result = re.sub(r"[^a-z0-9]+", "_", parted).strip("_")[:_LONGEST].strip("_")
    if not result or not result[0].isalpha():
        result = f"c_{result}".strip("_")
    return f"{result}_value" if keyword.iskeyword(result) or keyword.issoftkeyword(result) else result


def sounds_like_id(name: str) -> bool:
    """Whether a plain name is that of what identifies one thing, and of no code that many share."""
    return _SOUNDS_LIKE_ID.search(name) is not None


def unique(wanted: str, taken: Collection[str]) -> str:
    """`wanted`, or `wanted` with the first number, from 2 on, that makes it unique.

    Args:
        wanted: The name.
        taken: The names that exist already.
    """
    name, number = wanted, 2
    while name in taken:
        name, number = f"{wanted}_{number}", number + 1
    return name


def columns(names: Iterable[str]) -> dict[str, str]:
    """Name in the data -> name in the use case: plain, not reserved, none twice, whatever the data calls them."""
    given: dict[str, str] = {}
    for name in names:
        wanted = plain(name)
        wanted = f"{wanted}_value" if wanted in RESERVED else wanted
        given[name] = unique(wanted, given.values())
    return given
