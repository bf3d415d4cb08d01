"""The names of the metrics that a gate may compare, and in which direction each is better."""

from __future__ import annotations

#: Higher is better for every metric but these.
LOWER_IS_BETTER = frozenset({"log_loss", "brier", "rmse", "mae", "calibration_error"})


def gain(metric: str, better: float, than: float) -> float:
    """By how much `better` is better than `than`, positive if it is, whichever way the metric runs.

    Args:
        metric: The metric that both are values of; `LOWER_IS_BETTER` says which way it runs.
        better: The value in question, in the metric's unit.
        than: The value it is compared with.
    """
    return than - better if metric in LOWER_IS_BETTER else better - than


CLASSIFICATION_METRICS = ("roc_auc", "average_precision", "log_loss", "brier")
REGRESSION_METRICS = ("rmse", "mae", "r2")
