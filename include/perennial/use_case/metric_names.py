"""The names of the metrics that a gate may compare, and in which direction each is better."""

from __future__ import annotations

from collections.abc import Mapping

#: Higher is better for every metric but these.
LOWER_IS_BETTER = frozenset(
    {"log_loss", "brier", "rmse", "mae", "pinball", "calibration_error", "interval_width", "interval_score"}
)
#: The share of labels within their prediction intervals: neither more nor less of it is better, but what is declared.
INTERVAL_COVERAGE = "interval_coverage"
#: Of a use case that predicts a quantile: its proper score, and the share of labels at or below the prediction.
PINBALL, AT_OR_BELOW = "pinball", "at_or_below"
#: Metrics of which neither a higher nor a lower value is better.
WITHOUT_DIRECTION = frozenset({INTERVAL_COVERAGE, AT_OR_BELOW})


def direction(metric: str) -> str:
    """Which values of a metric are better, in words."""
    if metric in WITHOUT_DIRECTION:
        return "as declared is best"
    return "lower is better" if metric in LOWER_IS_BETTER else "higher is better"


def gain(metric: str, better: float, than: float) -> float:
    """By how much `better` is better than `than`: positive if it is, in whichever direction the metric is better.

    Args:
        metric: The metric of both values; `LOWER_IS_BETTER` says in which direction it is better.
        better: The value to rate, in the metric's unit.
        than: The value to compare it with.
    """
    return than - better if metric in LOWER_IS_BETTER else better - than


#: Money per prediction, where the use case declares what a decision is worth.
VALUE = "value"
#: The metrics of each task.
METRICS: Mapping[str, tuple[str, ...]] = {
    "binary": ("roc_auc", "average_precision", "log_loss", "brier"),
    "multiclass": ("log_loss", "brier", "accuracy", "balanced_accuracy", "f1_macro", "roc_auc"),
    "regression": ("rmse", "mae", "r2"),
}
