"""What the gate decides about a challenger, as data and as tables for people."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from pydantic import ConfigDict, Field, ValidationError, model_validator

from perennial.use_case.declarations import Declaration

if TYPE_CHECKING:
    from perennial.registry.ledger import Entry

Outcome = Literal["promote", "reject", "not-enough-evidence"]
#: The outcomes. The last is called inconclusive wherever people read it; the ledger keeps it under its first name.
PROMOTE: Outcome = "promote"
REJECT: Outcome = "reject"
INCONCLUSIVE: Outcome = "not-enough-evidence"
#: Keys of `GateDecision.metrics`: the challenger, and the champion (before there is one, the baseline model).
CHALLENGER, CHAMPION = "challenger", "rival"


class Rule(Declaration):
    """One condition of the gate, with the number it was decided on.

    Attributes:
        name: What was measured.
        value: The measurement.
        threshold: What it was compared with.
        passed: Whether the condition is met.
        note: For people: what the number does not say by itself.
    """

    name: str
    value: float
    threshold: float
    passed: bool
    note: str = ""


class SliceMetric(Declaration):
    """The gate's metric on one slice of the holdout.

    Attributes:
        rows: Of the holdout, in that slice.
        challenger, champion: The metric of each on them; `champion` is the baseline model before there is one.
    """

    rows: int
    challenger: float
    champion: float


class HoldoutInterval(Declaration):
    """What the holdout says of a model's prediction intervals: see `perennial.gate.prediction_intervals`.

    Attributes:
        coverage: The declared one.
        margin: Around each prediction, or beyond the model's own quantiles, chosen on `rows`; in the unit of the label.
            None: these were too few.
        rows: Rows of the holdout that the margin was chosen from.
        by: The column whose values have margins of their own; None: none does.
        margins: These, by value, of those that the holdout has enough rows of; all others have `margin`.
        reached: The share of labels within their intervals, each block by the margin that was chosen on the others.
            None: there were no intervals.
        judged: How many rows that is of; None: not recorded.
        bounds: Lower and upper bound of that share, each with the gate's confidence; None: too few blocks.
        blocks: Blocks of time that these rows are from; None: not recorded.
        block_deviation: Standard deviation of the share between the blocks; None: fewer than two, or not recorded.
        width, score: Means of the width and of the interval score, in the unit of the label.
    """

    coverage: float
    margin: float | None = None
    rows: int
    by: str | None = None
    margins: dict[str, float] = Field(default_factory=dict)
    reached: float | None = None
    judged: int | None = None
    bounds: tuple[float, float] | None = None
    blocks: int | None = None
    block_deviation: float | None = None
    width: float | None = None
    score: float | None = None

    @property
    def metrics(self) -> dict[str, float]:
        """Its numbers by the names that they have as metrics."""
        numbers = {"coverage": self.reached, "width": self.width, "score": self.score}
        return {f"interval_{name}": number for name, number in numbers.items() if number is not None}


class ClassCounts(Declaration):
    """The rows of one class.

    Attributes:
        fitted: How many the challenger was fitted on; None: not recorded.
        rows: How many the holdout has.
        challenger, champion: Class -> how many of those rows it called so; `champion` is the baseline model before
            there is one.
    """

    fitted: int | None = None
    rows: int
    challenger: dict[str, int]
    champion: dict[str, int]


class ClassRow(NamedTuple):
    """A class as people read it.

    Attributes:
        name: The class.
        fitted, rows: Rows fitted on (None: not recorded) and rows of the holdout.
        recall, precision: Of the challenger, and of the champion: the share of the class's rows that it recognized, and
            of the rows that it called so those that are; None: there are no such rows.
    """

    name: str
    fitted: int | None
    rows: int
    recall: tuple[float | None, float | None]
    precision: tuple[float | None, float | None]


class GateDecision(Declaration):
    """The gate's decision on one challenger.

    Attributes:
        promote: Whether the challenger becomes champion: the gate's decision, or that of the person who was asked.
        outcome: The gate's decision. `not-enough-evidence`: too few rows, blocks or classes to tell, or the interval
            holds both improvements above the margin and others.
        borderline: The improvement was above the margin and nothing speaks against the challenger, but it may be
            chance.
        reason: One sentence for people.
        challenger: The version decided on.
        champion: The version it was compared with; None: the baseline model.
        partition: The newest partition that the challenger was trained on.
        effective_from: Event time from which it may predict: the end of that partition; once promoted, not before the
            end of what is scored.
        rows: Rows of the holdout used.
        improvement: By how much the challenger is better in the gate's metric, on what was decided by: the holdout,
            live requests, or both together; None: not measured.
        interval: Lower and upper bound of the true improvement, each with probability `confidence`; None: too few
            blocks to tell.
        confidence: Of each bound of the interval.
        rules: All conditions, each with its number.
        not_evaluated: Slices with too few rows, blocks or classes.
        metrics: Of `CHALLENGER` and `CHAMPION`, on the same rows.
        metric: The gate's metric then, which `improvement`, `interval` and `slices` are in; None: not recorded.
        slices: Slice (`origin=JFK`) -> the gate's metric on it, of the slices that were evaluated. None: not recorded.
        classes: Class -> what became of its rows, of a multi-class use case. None: it is none, or it was not recorded.
        null_shares: Feature -> its share of nulls in the rows fitted on and in the holdout; of those that have any.
            None: not recorded.
        measured: `latency_seconds` of one row, `rows_per_second` and `size_bytes` of the stored model.
        requests: Ids of the requests for retraining that this decision handles.
        report: Address of the challenger's MLflow run.
        made_by: The DAG run that ended the challenger's rollout; empty: there was none.
        threshold: The probability from which on the challenger acts, chosen on its holdout by what decisions are worth;
            None: the use case declares no `value`, or is a regression.
        baseline: What the baseline model says of every row: 1 or 0, act on all or on none; of a regression the mean
            label. None: the use case declares no `value`.
        prediction_interval: What the holdout says of the challenger's prediction intervals, with the margin that it
            serves with. None: none are declared.
        champion_prediction_interval: The same of the champion; it serves with that margin from then on, if it still
            does. None: none are declared, there is no champion, or too few rows.
        evaluated: The version that was compared on the holdout where the challenger is its refit; None: the challenger
            itself.
    """

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True, serialize_by_alias=True)

    promote: bool
    outcome: Outcome
    borderline: bool = False
    reason: str
    challenger: int
    champion: int | None
    partition: str
    effective_from: datetime
    rows: int
    improvement: float | None = Field(default=None, validation_alias="gained", serialization_alias="gained")
    interval: tuple[float, float] | None = None
    confidence: float | None = None
    rules: list[Rule]
    not_evaluated: tuple[str, ...] = Field(default=(), validation_alias="not_judged", serialization_alias="not_judged")
    metrics: dict[str, dict[str, float]]
    metric: str | None = None
    slices: dict[str, SliceMetric] | None = None
    classes: dict[str, ClassCounts] | None = None
    null_shares: dict[str, tuple[float, float]] | None = None
    measured: dict[str, float] = Field(default_factory=dict)
    requests: tuple[str, ...] = ()
    report: str = ""
    made_by: str = ""
    threshold: float | None = None
    baseline: float | None = None
    prediction_interval: HoldoutInterval | None = None
    champion_prediction_interval: HoldoutInterval | None = None
    evaluated: int | None = None

    @model_validator(mode="before")
    @classmethod
    def _add_outcome(cls, stored: Any) -> Any:
        """Entries of the ledger from before there was an outcome: it was one of two."""
        if isinstance(stored, dict) and "outcome" not in stored and "promote" in stored:
            return stored | {"outcome": PROMOTE if stored["promote"] else REJECT}
        return stored

    @property
    def class_rows(self) -> list[ClassRow]:
        """Each class with recall and precision of both models, in the order of the declaration; none of other tasks."""
        classes = self.classes or {}
        called = {
            name: [(each.challenger.get(name, 0), each.champion.get(name, 0)) for each in classes.values()]
            for name in classes
        }
        rows = []
        for name, each in classes.items():
            mine, its = each.challenger.get(name, 0), each.champion.get(name, 0)
            all_mine, all_its = (sum(counts) for counts in zip(*called[name], strict=True))
            recall = _share(mine, each.rows), _share(its, each.rows)
            rows.append(ClassRow(name, each.fitted, each.rows, recall, (_share(mine, all_mine), _share(its, all_its))))
        return rows

    def with_approval(self, approved: bool, person: str, why: str = "") -> GateDecision:
        """The same evidence, decided by the person who was asked.

        Args:
            approved: Whether the challenger is promoted.
            person: Who decided.
            why: The reason that the person gave; it is added to the gate's.
        """
        by = f"{'approved' if approved else 'rejected'} by {person}" + (f": {why}" if why else "")
        return self.model_copy(update={"promote": approved, "reason": f"{self.reason}; {by}"})

    def markdown(self) -> str:
        """The evidence as a person reads it on a page: the reason, then a table of the rules."""
        lines = [
            f"**{in_words(self.outcome)}.** {self.reason}",
            "",
            "| rule | value | threshold | result |",
            "|---|---|---|---|",
        ]
        for rule in self.rules:
            result = "passed" if rule.passed else "**failed**"
            remark = f"{result}: {rule.note}" if rule.note else result
            lines.append(f"| {_cell(rule.name)} | {rule.value:.4g} | {rule.threshold:.4g} | {_cell(remark)} |")
        if self.not_evaluated:
            lines += ["", f"Too few rows to evaluate: {', '.join(map(_cell, self.not_evaluated))}."]
        if self.classes:
            lines += ["", "| class | fitted on | held out | recall | precision |", "|---|---|---|---|---|"]
            for row in self.class_rows:
                both = " | ".join(_both(each) for each in (row.recall, row.precision))
                lines.append(f"| {_cell(row.name)} | {_number(row.fitted)} | {row.rows} | {both} |")
            lines += ["", "Recall and precision: challenger, and champion or baseline model."]
        if self.null_shares:
            shares = ", ".join(
                f"{_cell(name)} {100 * fitted:.3g}% / {100 * held_out:.3g}%"
                for name, (fitted, held_out) in self.null_shares.items()
            )
            lines += ["", f"Nulls in the rows fitted on / in the holdout: {shares}."]
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
        small = [f"  Too few rows to evaluate: {', '.join(self.not_evaluated)}"] if self.not_evaluated else []
        return [f"{in_words(self.outcome)}: {self.reason}", *table, *small]


def in_words(outcome: str) -> str:
    """An outcome as people read it."""
    return "inconclusive" if outcome == INCONCLUSIVE else outcome


def from_evidence(evidence: Mapping[str, Any]) -> GateDecision | None:
    """The decision that the ledger, a task or MLflow keeps; None where another release wrote it in an unknown form."""
    try:
        return GateDecision(**evidence)
    except (ValidationError, TypeError):
        return None


def expected_metrics(entry: Entry) -> dict[str, float]:
    """The metrics that a version reached on the gate's holdout: what its production metrics are compared with.

    Args:
        entry: The ledger's row of the decision on the version, or any other row.

    Returns:
        Metric by name; empty where the row is of no decision, or records none.
    """
    return dict(entry.evidence.get("metrics", {}).get(CHALLENGER, {}))


def _share(count: int, among: int) -> float | None:
    return count / among if among else None


def _both(shares: tuple[float | None, float | None]) -> str:
    return " / ".join("-" if each is None else f"{each:.2f}" for each in shares)


def _number(count: int | None) -> str:
    return "-" if count is None else str(count)


def _cell(text: str) -> str:
    """Values of a column may hold anything: a table's cell ends at a bar, and a page must not take them for HTML."""
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")
