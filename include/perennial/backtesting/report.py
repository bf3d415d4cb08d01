"""The result of a backtest, as data, as a table and in sentences. Light to import."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

#: What a backtest leaves out, in the result itself.
NOT_REPLAYED = (
    "Not replayed: requests for drift and for slices, rollouts, probations, approvals, smoke tests and rollbacks."
    " Labels are as they are now."
)
UNTOUCHED = "Nothing that serves was touched: no request, no version, no MLflow run, no ledger row."


@dataclass(frozen=True)
class PolicyResult:
    """What a policy would have reached.

    Attributes:
        mean: The mean of the gate's metric over the partitions that were compared.
        by_partition: Partition -> the gate's metric.
        change: By how much that is better than the declared policy, positive is better whichever metric it is; None: it
            is the declared policy.
        low, high: The bounds of that change, each one-sided at the corrected confidence; None: too few partitions.
        requests: Partitions at whose end a model was requested.
        promotions: Those at whose end one was promoted.
        fits: How many models were fitted for it.
        fit_seconds: How long these fits took, on one thread.
        can_be_declared: Whether `use_case.py` can say it; only such a policy is proposed.
    """

    name: str
    description: str
    mean: float
    by_partition: Mapping[str, float]
    change: float | None
    low: float | None
    high: float | None
    requests: tuple[str, ...]
    promotions: tuple[str, ...]
    fits: int
    fit_seconds: float
    can_be_declared: bool


@dataclass(frozen=True)
class BacktestReport:
    """What policies would have reached on a use case's history.

    Attributes:
        metric: The gate's metric.
        first, last: First and last partition of the history.
        first_model: The partition at whose end the first model was promoted.
        partitions: Those that were compared: all after it with enough labels.
        blocks: How many blocks of event time they are.
        labelled: Partition -> how many predictions were judged.
        compared: How many policies were compared with the declared one.
        confidence: That nothing is said to be better by chance, of all comparisons together.
        corrected: The one-sided confidence of each bound, corrected for their number.
        proposal: The policy that is proposed; None: none has a better mean.
        is_proven: Whether its lower bound is above zero.
        fits_made, fits_reused: How many fits were made now, and how many were there from before.
    """

    use_case: str
    metric: str
    higher_is_better: bool
    first: str
    last: str
    first_model: str
    partitions: tuple[str, ...]
    blocks: int
    labelled: Mapping[str, int]
    policies: tuple[PolicyResult, ...]
    compared: int
    confidence: float
    corrected: float
    proposal: str | None
    is_proven: bool
    fits_made: int
    fits_reused: int

    def as_json(self) -> dict[str, Any]:
        """JSON-ready, as the command prints it."""
        return {**asdict(self), "notes": [NOT_REPLAYED, UNTOUCHED]}

    def policy(self, name: str) -> PolicyResult:
        """The result of a policy."""
        return next(each for each in self.policies if each.name == name)

    def sentence(self) -> str:
        """What follows, for people."""
        if self.proposal is None:
            return f"No better policy is proven: none of {self.compared} has a better mean {self.metric}."
        best = self.policy(self.proposal)
        if best.low is None or best.high is None:
            return (
                f"No better policy is proven: {self.proposal} is better by {best.change:.4f}, but {self.blocks}"
                " partitions are too few to tell."
            )
        bounds = f"{best.change:+.4f}, {100 * self.corrected:.4g}% bounds {best.low:+.4f} to {best.high:+.4f}"
        if not self.is_proven:
            return f"No better policy is proven: the best mean of {self.compared} has {self.proposal} ({bounds})."
        return (
            f"Proposed: {self.proposal} ({bounds}, corrected for {self.compared} comparisons), with"
            f" {len(best.promotions)} promotions and {best.fits} fits."
        )


def table(report: BacktestReport) -> Table:
    """A row for each policy, the best first."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    spanned = f"{report.partitions[0]} to {report.partitions[-1]}"
    shown = Table(
        title=Text(
            f"{report.use_case}: mean {report.metric} of {len(report.partitions)} partitions, {spanned}; first model at"
            f" the end of {report.first_model}"
        ),
        title_justify="left",
        box=box.SIMPLE_HEAD,
    )
    shown.add_column("policy")
    for heading in (
        report.metric,
        "better by",
        f"{100 * report.corrected:.4g}% bounds",
        "requests",
        "promoted",
        "fits",
    ):
        shown.add_column(heading, justify="right")
    ordered = sorted(report.policies, key=lambda each: each.mean, reverse=report.higher_is_better)
    for each in ordered:
        bounds = "" if each.low is None or each.high is None else f"{each.low:+.4f} to {each.high:+.4f}"
        shown.add_row(
            Text(each.name, style="bold" if each.name in ("declared", report.proposal) else ""),
            f"{each.mean:.4f}",
            "" if each.change is None else f"{each.change:+.4f}",
            bounds,
            str(len(each.requests)),
            str(len(each.promotions)),
            str(each.fits),
        )
    return shown
