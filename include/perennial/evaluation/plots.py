"""Plots of a model's quality and feature importance, logged to the active MLflow run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import matplotlib
import mlflow
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.calibration import CalibrationDisplay
from sklearn.metrics import ConfusionMatrixDisplay, PredictionErrorDisplay, RocCurveDisplay

from perennial.registry import mlflow_artifacts
from perennial.use_case import UseCase
from perennial.use_case.classes import MULTICLASS

matplotlib.use("agg")


def log_quality(use_case: UseCase, label: np.ndarray, prediction: np.ndarray) -> None:
    """Log ROC and calibration of a binary task, both of each class and what is confused of a multi-class one.

    Of a regression predicted against actual.

    Args:
        use_case: Its task decides which plots.
        label: (n,) of the holdout, as `metrics.evaluate` takes it.
        prediction: (n,) of the holdout; of K classes (n, K).
    """
    if use_case.task == MULTICLASS:
        _log_classes(use_case, label, prediction)
        return
    if use_case.task == "regression":
        _log(
            "predicted_vs_actual",
            lambda axes: PredictionErrorDisplay.from_predictions(
                label, prediction, kind="actual_vs_predicted", random_state=0, ax=axes
            ),
        )
        return
    if len(np.unique(label)) == 2:
        _log("roc", lambda axes: RocCurveDisplay.from_predictions(label, prediction, ax=axes, name="holdout"))
        _log(
            "calibration",
            lambda axes: CalibrationDisplay.from_predictions(
                label, prediction, n_bins=10, strategy="quantile", ax=axes
            ),
        )


def _log_classes(use_case: UseCase, label: np.ndarray, prediction: np.ndarray) -> None:
    names = use_case.classes
    _log(
        "confusion",
        lambda axes: ConfusionMatrixDisplay.from_predictions(
            *(label, prediction.argmax(axis=1)),
            labels=np.arange(len(names)),
            display_labels=names,
            normalize="true",
            xticks_rotation="vertical",
            values_format=".2f",
            colorbar=False,
            ax=axes,
        ),
    )
    # A curve of each class that occurs, and is not all there is.
    occurring = [place for place in np.unique(label) if (label != place).any()]

    def draw_roc(axes: Axes) -> None:
        for place in occurring:
            RocCurveDisplay.from_predictions(label == place, prediction[:, place], ax=axes, name=names[place])

    def draw_calibration(axes: Axes) -> None:
        for place in occurring:
            CalibrationDisplay.from_predictions(
                *(label == place, prediction[:, place]), n_bins=10, strategy="quantile", ax=axes, name=names[place]
            )

    if occurring:
        _log("roc", draw_roc)
        _log("calibration", draw_calibration)


def log_importance(importance: Mapping[str, float]) -> None:
    """Log the importance of each feature, largest on top."""
    ordered = sorted(importance.items(), key=lambda item: item[1])[-25:]
    names, shares = [name for name, _ in ordered], [share for _, share in ordered]
    _log("importance", lambda axes: axes.barh(names, shares), height=1 + 0.25 * len(ordered))
    mlflow.log_dict(dict(importance), mlflow_artifacts.IMPORTANCE)


def log_search(improvements: np.ndarray, params: Mapping[str, Sequence[object]]) -> None:
    """Log how a search went: by trial, and against each parameter.

    Args:
        improvements: (n,) of the trials in their order, over the first, which has the run's own parameters; nan: it was
            not tried to its end.
        params: Parameter -> (n,) its values.
    """
    figure = Figure(figsize=(7, 3.2 * (1 + len(params))), layout="constrained")
    history, *others = figure.subplots(1 + len(params), squeeze=False)[:, 0]
    place = np.arange(1, len(improvements) + 1)
    history.step(place, np.fmax.accumulate(improvements), where="post", label="best so far")
    for axes, (name, values) in zip((history, *others), {"trial": place, **params}.items(), strict=True):
        is_number = all(isinstance(each, int | float | np.integer) and not isinstance(each, bool) for each in values)
        shown = np.asarray(values if is_number else [str(each) for each in values])
        ended = ~np.isnan(improvements)
        axes.scatter(shown[ended], improvements[ended], s=14, label="tried on all folds")
        axes.axhline(0, color="grey", linewidth=0.8, label="the run's own")
        axes.set_xlabel(name)
        axes.set_ylabel("improvement")
    history.legend()
    mlflow.log_figure(figure, "plots/search.png")


def _log(name: str, draw: Callable[[Axes], object], height: float = 5) -> None:
    # A Figure of its own, not pyplot's: pyplot keeps every figure of a long-lived worker.
    figure = Figure(figsize=(7, height))
    axes = figure.add_axes((0.3, 0.12, 0.65, 0.78))
    draw(axes)
    axes.set_title(name.replace("_", " "))
    mlflow.log_figure(figure, f"plots/{name}.png")
