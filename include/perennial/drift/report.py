"""Makes Evidently's report of a partition from its counts: every row is in it, in the detail of the profile's bins."""

from __future__ import annotations

import html
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from evidently import DataDefinition, Dataset, Report
from evidently.metrics import ValueDrift

from perennial.drift.bins import Bins
from perennial.drift.comparison import ColumnCounts, ColumnDrift
from perennial.drift.profile import Profile

#: Rows that stand for a distribution in Evidently's report.
DRAWN_ROWS = 4_000


def html_report(profile: Profile, counted: ColumnCounts, drift: list[ColumnDrift]) -> str:
    """A self-contained HTML page: each column's distribution now and in training, its distance and its limit.

    Evidently takes rows, so it is given 4,000 whose distributions are those of the counts; the page says of how many
    rows they are. It has no row for a column without any value, now or in training.

    Args:
        profile: The champion's.
        counted: The partition's rows.
        drift: Drift of the columns to show.
    """
    drawn = {column.column: profile.columns[column.column] for column in drift}
    reference = {name: sample_rows(column.bins, column.counts.sum(axis=0)) for name, column in drawn.items()}
    current = {name: sample_rows(column.bins, counted.columns[name]) for name, column in drawn.items()}
    comparable = [c for c in drift if reference[c.column].notna().any() and current[c.column].notna().any()]
    if not comparable:
        return f"<!DOCTYPE html><p>{_row_counts(profile, counted)} No column has values in both.</p>"
    names = [column.column for column in comparable]
    numbers = [name for name in names if profile.columns[name].bins.kind == "number"]
    definition = DataDefinition(
        numerical_columns=numbers, categorical_columns=[name for name in names if name not in numbers]
    )
    report = Report([ValueDrift(column=c.column, method=c.method, threshold=c.limit) for c in comparable])
    snapshot = report.run(
        Dataset.from_pandas(pd.DataFrame({name: current[name] for name in names}), definition),
        Dataset.from_pandas(pd.DataFrame({name: reference[name] for name in names}), definition),
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "report.html"
        snapshot.save_html(str(path))
        text = path.read_text()
    said = f"{_row_counts(profile, counted)}{_smallest_shifts(drift)}"
    summary = f'<p style="font-family: sans-serif; margin: 1em">{html.escape(said)}</p>'
    return text.replace("<body>", f"<body>{summary}", 1)


def _row_counts(profile: Profile, counted: ColumnCounts) -> str:
    trained = max((int(column.counts.sum()) for column in profile.columns.values()), default=0)
    return (
        f"Current: all {counted.rows:,} rows of the partition. Reference: {trained:,} training rows of the champion."
        f" Both counted in the profile's bins and drawn here as {DRAWN_ROWS:,} rows of the same distribution; the"
        " verdict's own distances are of the counts."
    )


def _smallest_shifts(drift: list[ColumnDrift]) -> str:
    known = ", ".join(f"{c.column} {c.detectable:.3g}" for c in drift if c.detectable is not None)
    return f" Smallest shifts that such a partition finds, in standard deviations: {known}." if known else ""


def sample_rows(bins: Bins, counts: np.ndarray) -> pd.Series:
    """`DRAWN_ROWS` values that are distributed as the counts are.

    Args:
        bins: The column's; its numbers are spread evenly inside a bin.
        counts: (size,) rows in each bin, the last one of nulls.
    """
    total = int(counts.sum())
    kept = round(DRAWN_ROWS * int(counts[:-1].sum()) / total) if total else 0
    if not kept:
        return pd.Series([None] * DRAWN_ROWS, dtype=float if bins.kind == "number" else object)
    ends = np.cumsum(counts[:-1])
    middle = (np.arange(kept) + 0.5) / kept * ends[-1]
    place = np.searchsorted(ends, middle, side="right")
    if bins.kind == "category":
        names = np.array([*map(str, bins.values), "(other)"], dtype=object)
        return pd.Series(names[place]).reindex(range(DRAWN_ROWS))
    edges = np.asarray(bins.edges)
    centres = np.asarray(bins.centres)
    low = np.concatenate([centres[:1], edges])[place]
    high = np.concatenate([edges, centres[-1:]])[place]
    inside = (middle - (ends - counts[:-1])[place]) / counts[:-1][place]
    width = high - low
    # The bin of a value that training had alone is as wide as its last digit, which cannot be drawn.
    width[width <= np.finfo(float).eps * (edges[-1] - edges[0] if len(edges) else 0.0)] = 0.0
    return pd.Series(low + width * inside).reindex(range(DRAWN_ROWS))
