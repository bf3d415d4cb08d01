"""Whose metrics a row of the lake table `metrics` holds; the names are stored, so they never change."""

from __future__ import annotations

from perennial.evaluation.regret import BASELINE, CHAMPION, FIRST_MODEL

__all__ = ["BASELINE", "CHAMPION", "FIRST_MODEL"]
