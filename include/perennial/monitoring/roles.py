"""Whose metrics a row of the lake table `metrics` holds; the names are stored, so they never change."""

from __future__ import annotations

CHAMPION = "champion"
#: The use case's first model, never retrained: measured on the same rows as the champion.
FIRST_MODEL = "first"
