"""Drift by effect size: how far a partition is from the champion's own training profile, in units of what is normal.

`bins` counts a column, `profile` keeps the counts of training by blocks of time, `windows` makes windows of these,
`limits` tells from them what is normal, `comparison` compares a partition with it, `report` shows that by Evidently.
"""

from perennial.drift.comparison import ColumnCounts, ColumnDrift, compare, score
from perennial.drift.importance import importances
from perennial.drift.limits import Limits, limits
from perennial.drift.profile import PREDICTION, Profile
from perennial.drift.report import html_report

__all__ = [
    "PREDICTION",
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
