"""Drift by effect size: how far a partition is from the champion's own training profile, in units of what is normal.

`bins` counts a column, `profile` keeps the counts of training by blocks of time, `windows` makes windows of these,
`limits` tells from them what is normal, `comparison` holds a partition against it, `page` shows it by Evidently.
"""

from perennial.drift.comparison import ColumnDrift, Counted, compare, score
from perennial.drift.importance import importances
from perennial.drift.limits import Limits, limits
from perennial.drift.page import page
from perennial.drift.profile import PREDICTION, Profile

__all__ = [
    "PREDICTION",
    "ColumnDrift",
    "Counted",
    "Limits",
    "Profile",
    "compare",
    "importances",
    "limits",
    "page",
    "score",
]
