"""What staleness costs a model, as data and as a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

    from perennial.feature_store.publication import Publication

ALL_VIEWS = "all views"


@dataclass(frozen=True)
class Effect:
    """What is predicted with the rows of a view, or of all views, published otherwise than they declare.

    Attributes:
        metric: The gate's metric on the holdout; None: it is not defined there.
        change: By how much that is better than as declared: positive is better, whichever metric it is.
        low, high: The bounds of that change, by blocks of event time as the gate's; None: too few blocks.
        missing: Share of the values of the view, or of all views, that are null.
    """

    view: str
    publication: Publication
    metric: float | None
    change: float | None
    low: float | None
    high: float | None
    missing: float

    def as_json(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "view": self.view,
            **_as_json(self.publication),
            "metric": self.metric,
            "change": self.change,
            "low": self.low,
            "high": self.high,
            "missing": self.missing,
        }


@dataclass(frozen=True)
class StalenessReport:
    """A model's holdout, predicted from features of different freshness.

    Attributes:
        refit: Whether the estimator was fitted again on the features of each freshness.
        metric: The gate's metric.
        value: The metric with features as declared; None: it is not defined on the holdout.
        start, end: Of the holdout, event time, UTC.
        rows: Of the holdout.
        confidence: One-sided, of each bound.
        declared: View -> when its rows are published.
        missing: View -> share of its values that are null as declared.
    """

    use_case: str
    version: int
    refit: bool
    metric: str
    value: float | None
    start: datetime
    end: datetime
    rows: int
    confidence: float
    declared: Mapping[str, Publication]
    missing: Mapping[str, float]
    effects: tuple[Effect, ...]

    def as_json(self) -> dict[str, Any]:
        """JSON-ready, as the command prints it."""
        return {
            "use_case": self.use_case,
            "version": self.version,
            "refit": self.refit,
            "metric": self.metric,
            "value": self.value,
            "start": self.start.isoformat(),
            "end": self.end.isoformat(),
            "rows": self.rows,
            "confidence": self.confidence,
            "views": [
                {"view": view, **_as_json(publication), "missing": self.missing[view]}
                for view, publication in self.declared.items()
            ],
            "effects": [effect.as_json() for effect in self.effects],
        }


def table(report: StalenessReport) -> Table:
    """A row for each view as declared, and one for each freshness that was tried."""
    from rich.table import Table
    from rich.text import Text

    model = f"v{report.version}'s estimator, fitted again" if report.refit else f"v{report.version}"
    title = (
        f"{report.use_case}: {model}, on {report.rows:,} rows from {report.start:%Y-%m-%d} to {report.end:%Y-%m-%d};"
        f" {report.metric} as declared: {_number(report.value)}"
    )
    shown = Table(title=Text(title), title_justify="left")
    shown.add_column("view")
    shown.add_column("published")
    shown.add_column(report.metric, justify="right")
    shown.add_column("better by", justify="right")
    shown.add_column(f"{100 * report.confidence:.4g}% bounds", justify="right")
    shown.add_column("missing", justify="right")
    for view in dict.fromkeys([*report.declared, *(effect.view for effect in report.effects)]):
        if view in report.declared:
            shown.add_row(view, f"{report.declared[view]} (declared)", "", "", "", f"{report.missing[view]:.1%}")
        for number, effect in enumerate(effect for effect in report.effects if effect.view == view):
            name = "" if number or view in report.declared else view
            bounds = "" if effect.low is None or effect.high is None else f"{effect.low:+.4f} to {effect.high:+.4f}"
            change = "" if effect.change is None else f"{effect.change:+.4f}"
            published = str(effect.publication)
            shown.add_row(name, published, _number(effect.metric), change, bounds, f"{effect.missing:.1%}")
        shown.add_section()
    return shown


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _as_json(publication: Publication) -> dict[str, Any]:
    every = publication.every
    return {
        "published": str(publication),
        "published_every_seconds": None if every is None else every.total_seconds(),
        "published_after_seconds": publication.after.total_seconds(),
    }
