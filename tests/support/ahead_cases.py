"""The second use case with other leads than it declares."""

from __future__ import annotations

from datetime import timedelta

from perennial import Ahead
from perennial.use_case import UseCase


def with_lead(energy: UseCase, lead: timedelta) -> UseCase:
    """Energy, which predicts its readings once, so long before their hour, and knows of them that early.

    Args:
        energy: The use case as it is declared.
        lead: How long before.
    """
    ahead = Ahead(leads=(lead,), known=lead)
    return energy.model_copy(update={"examples": energy.examples.model_copy(update={"ahead": ahead})})
