"""Names of the columns that a retrieval adds beside the features."""

from __future__ import annotations

_SUFFIX = "__event_timestamp"


def event_timestamp_column(view: str) -> str:
    """The column with the event times of a view's values: when they became known (UTC)."""
    return f"{view}{_SUFFIX}"


def view_of(column: str) -> str | None:
    """The view whose event times a column holds; None for any other column."""
    return column.removesuffix(_SUFFIX) if column.endswith(_SUFFIX) else None


def status_column(feature: str) -> str:
    """The column that says why a feature's online value is what it is."""
    return f"{feature}__status"
