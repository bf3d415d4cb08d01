"""Writes the sentences of a new use case's files: what it predicts, what was assumed, what is no feature and why."""

from __future__ import annotations

from perennial.partitions import Cadence
from perennial.scaffold import texts
from perennial.scaffold.design import Assumption, Design
from perennial.scaffold.texts import spoken

_WORD = {Cadence.HOURLY: "hour", Cadence.DAILY: "day", Cadence.WEEKLY: "week", Cadence.MONTHLY: "month"}

#: What the baseline model knows.
_CONSTANT = {"binary": "rate", "multiclass": "shares of the classes", "regression": "mean"}


def _title(design: Design) -> str:
    by = f" by {' and '.join(texts.harmless(key.source) for key in design.keys)}" if design.keys else ""
    return f"{texts.harmless(design.label.column.source)}{by}"[:80]


def _short(design: Design) -> str:
    label = texts.harmless(design.label.column.source)[:40]
    if design.task == "binary":
        return f"Will {label} be {texts.harmless(str(design.label.positive))[:30]}? Asked at the moment of each row."
    if design.task == "multiclass":
        return f"Which {label} will it be? Asked at the moment of each row."
    return f"What will {label} be? Asked at the moment of each row."


def context(design: Design, keys: list[str], baseline: str) -> dict[str, str]:
    """The sentences.

    Args:
        design: The design of the use case.
        keys: Names of the entity's key columns, as the files have them.
        baseline: The feature that the first model must beat; empty: there is none.

    Returns:
        Variable of the templates -> text.
    """
    label = design.label
    positive = texts.harmless(str(label.positive))
    name = texts.harmless(label.column.source)
    keyed = f" of the same {' and '.join(keys)}" if design.keys else ""
    if design.task == "binary":
        label_text = f"`label` is 1 where {name} is {positive}, 0 where it is not, null while that is unknown."
    elif design.task == "multiclass":
        label_text = f"`label` is the class that {name} names, null while that is unknown. Other names are refused."
    else:
        label_text = f"`label` is {name}, null while that is unknown."
    left = [f"- {texts.harmless(column)}: {reason}" for column, reason in design.left_out.items()]
    assumed = [_sentence(each) for each in design.assumptions]
    request = [texts.harmless(column.source) for column in design.features] + [
        each.replace("_", " ") for each in design.calendar
    ]
    policy, beside = design.policy, f" and {baseline} alone" if baseline else ""
    gate = (
        f"The first model comes after {policy.initial_partitions} partitions and must beat the baseline model (the"
        f" {_CONSTANT[design.task]} of the training rows, whatever the row says){beside}"
        f" on the last {spoken(policy.holdout)} of its window, or half of it; each"
        f" later one must beat the champion. The certainty of that is counted in blocks of {spoken(policy.block)}."
    )
    return {
        "title": _title(design),
        "short_description": _short(design),
        "assumptions": "\n".join(
            ["Assumed when this was written; what is wrong is yours to change:", ""]
            + [texts.paragraph(f"- {each}", "", "  ") for each in assumed]
            + (["", "Columns that are no features:", ""] if left else [])
            + [texts.paragraph(each, "", "  ") for each in left]
        ),
        "assumption_list": "\n".join(texts.paragraph(f"- {each}", "", "  ") for each in assumed),
        "left_out_list": "\n".join(texts.paragraph(each, "", "  ") for each in left),
        "history_text": texts.paragraph(
            f"What came of earlier rows{keyed}: the last outcome, and means over the spans.",
            "",
            "    ",
            texts.WIDTH - 7,
        ),
        "history_short": f"What came of earlier rows{keyed}, as known at each outcome."[:90],
        "history_features": texts.paragraph(
            f"`history` adds what came of earlier rows{keyed}: the last outcome and means over"
            f" {' and '.join(spoken(span.length) for span in design.spans)}, as known at the moment of prediction."
        ),
        "label_text": texts.paragraph(label_text, "", "    ", texts.WIDTH - 4),
        "request_text": texts.paragraph(f"With each row come {', '.join(request) or 'no facts'}."),
        "gate_text": texts.paragraph(gate),
        "partition_word": _WORD[design.cuts.cadence],
    }


def _sentence(assumption: Assumption) -> str:
    option = f" (otherwise: {assumption.option})" if assumption.option else ""
    return texts.harmless(f"{assumption.about}: {assumption.what}; {assumption.why}{option}")
