"""Drift by effect size: how far a partition is from the champion's training profile, as a multiple of a baseline.

`bins` counts a column, `profile` keeps the counts of training by blocks of time, `windows` makes windows of these,
`limits` takes the baselines from them, `comparison` compares a partition with it, `report` shows that by Evidently.
"""

from perennial.drift.comparison import ColumnCounts, ColumnDrift, compare, score
from perennial.drift.importance import importances
from perennial.drift.limits import Limits, limits
from perennial.drift.profile import Profile
from perennial.drift.report import html_report

__all__ = [
    "ColumnCounts",
    "ColumnDrift",
    "Limits",
    "Profile",
    "compare",
    "html_report",
    "importances",
    "limits",
    "score",
]
