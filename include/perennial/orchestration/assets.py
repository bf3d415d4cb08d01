"""The assets of a use case, whose events start one pipeline after another."""

from __future__ import annotations

from airflow.sdk import Asset

from perennial.use_case import UseCase


def features_asset(use_case: UseCase) -> Asset:
    """A partition's features are in the lake and in the online store."""
    return _asset(use_case, "features")


def predictions_asset(use_case: UseCase) -> Asset:
    """A partition is scored."""
    return _asset(use_case, "predictions")


def retraining_asset(use_case: UseCase) -> Asset:
    """Retraining is requested; the event carries the reason and the evidence."""
    return _asset(use_case, "retraining")


def champion_asset(use_case: UseCase) -> Asset:
    """A model version became champion: a new one was promoted, or an earlier one serves again."""
    return _asset(use_case, "champion")


def _asset(use_case: UseCase, kind: str) -> Asset:
    # For any other scheme Airflow searches all its providers for a handler, which imports their libraries.
    return Asset(name=f"{use_case.name}.{kind}", uri=f"x-perennial://{use_case.name}/{kind}", group="perennial")
