"""What the gate decides, as data and as tables for people."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, model_validator

from perennial.use_case import Declaration

if TYPE_CHECKING:
    from perennial.registry.ledger import Entry

Outcome = Literal["promote", "reject", "not-enough-evidence"]
#: Keys of `GateDecision.metrics`: the challenger, and the champion (before there is one, the baseline model).
CHALLENGER, CHAMPION = "challenger", "rival"


class Rule(Declaration):
    """One condition of the gate, with the number it was decided on.

    Attributes:
        note: For people: what the number does not say by itself.
    """

    name: str
    value: float
    threshold: float
    passed: bool
    note: str = ""


class GateDecision(Declaration):
    """The gate's decision on one challenger.

    Attributes:
        promote: Whether the challenger becomes champion: what the gate says, or the person who was asked.
        outcome: What the gate says. `not-enough-evidence`: too few rows, blocks or classes to tell, or the interval
            holds both gains that would do and gains that would not.
        borderline: The gain was more than the margin and nothing speaks against the challenger, but it may be luck.
        reason: One sentence for people.
        champion: The version it was judged against; None: the trivial baseline.
        partition: The newest partition that the challenger has seen.
        effective_from: Event time from which it may predict: the end of that partition; once promoted, not before the
            end of what is scored.
        rows: Rows of the holdout used.
        gained: By how much the challenger is better on the holdout, in the gate's metric; None: not judged.
        interval: What the gain may really be: below its low end with a probability of 1 - `confidence`, and above its
            high end likewise; None: too few blocks to say.
        confidence: Of each end of the interval.
        rules: All conditions, each with its number.
        not_judged: Slices with too few rows, blocks or classes.
        metrics: Of `challenger` and `rival`, on the same rows.
        measured: `latency_seconds` of one row, `rows_per_second` and `size_bytes` of the stored model.
        requests: Ids of the requests for retraining that are answered by this.
        report: Address of the challenger's MLflow run.
    """

    promote: bool
    outcome: Outcome
    borderline: bool = False
    reason: str
    challenger: int
    champion: int | None
    partition: str
    effective_from: datetime
    rows: int
    gained: float | None = None
    interval: tuple[float, float] | None = None
    confidence: float | None = None
    rules: list[Rule]
    not_judged: tuple[str, ...] = ()
    metrics: dict[str, dict[str, float]]
    measured: dict[str, float] = Field(default_factory=dict)
    requests: tuple[str, ...] = ()
    report: str = ""

    @model_validator(mode="before")
    @classmethod
    def _of_an_earlier_gate(cls, given: Any) -> Any:
        """Entries of the ledger from before there was an outcome: it was one of two."""
        if isinstance(given, dict) and "outcome" not in given and "promote" in given:
            return given | {"outcome": "promote" if given["promote"] else "reject"}
        return given

    def answered(self, approved: bool, person: str, why: str = "") -> GateDecision:
        """The same evidence, decided by the person who was asked, with what they gave as their reason."""
        said = f"{'approved' if approved else 'refused'} by {person}" + (f": {why}" if why else "")
        return self.model_copy(update={"promote": approved, "reason": f"{self.reason}; {said}"})

    def markdown(self) -> str:
        """The evidence as a person reads it on a page: the reason, then a table of the rules."""
        lines = [f"**{self.outcome}.** {self.reason}", "", "| rule | value | threshold | result |", "|---|---|---|---|"]
        for rule in self.rules:
            said = "passed" if rule.passed else "**failed**"
            remark = f"{said}: {rule.note}" if rule.note else said
            lines.append(f"| {_cell(rule.name)} | {rule.value:.4g} | {rule.threshold:.4g} | {_cell(remark)} |")
        if self.not_judged:
            lines += ["", f"Too few rows to be judged: {', '.join(map(_cell, self.not_judged))}."]
        if self.report:
            lines += ["", f"[The challenger's run in MLflow]({self.report})"]
        return "\n".join(lines)

    def lines(self) -> list[str]:
        """The evidence as a person reads it in a log: the reason, then a table of the rules."""
        width = max((len(rule.name) for rule in self.rules), default=0)
        table = [
            f"  {rule.name:<{width}}  {rule.value:>10.4g}  against {rule.threshold:>10.4g}"
            f"  {'passed' if rule.passed else 'FAILED'}{f' ({rule.note})' if rule.note else ''}"
            for rule in self.rules
        ]
        small = [f"  Too few rows to be judged: {', '.join(self.not_judged)}"] if self.not_judged else []
        return [f"{self.outcome}: {self.reason}", *table, *small]


def expected_metrics(entry: Entry) -> dict[str, float]:
    """The metrics that a version reached on the gate's holdout: what its production metrics are compared with.

    Args:
        entry: The ledger's row of the decision on the version, or any other row.

    Returns:
        Metric by name; empty where the row is of no decision, or records none.
    """
    return dict(entry.evidence.get("metrics", {}).get(CHALLENGER, {}))


def _cell(text: str) -> str:
    """Values of a column may hold anything: a table's cell ends at a bar, and a page must not take them for HTML."""
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")
