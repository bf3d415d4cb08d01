"""Shows a plan as lines for a terminal, as Markdown for a pull request, and as JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from perennial.feature_changes.acknowledgements import FILE
from perennial.feature_changes.dependents import Dependent
from perennial.feature_changes.differences import Change
from perennial.feature_changes.planning import Plan
from perennial.feature_changes.recomputing import Recomputation

_MARKS = {"added": "+", "changed": "~", "removed": "-"}
_STYLES = {"added": "green", "changed": "yellow", "removed": "red"}
_LONGEST = 100
#: Of a list of features so many are named.
_FEW = 6
_UP_TO_DATE = "the registry holds what {} says, and every partition is computed by it."


class TerminalLine(NamedTuple):
    """A line of a terminal, and its colour."""

    text: str
    style: str | None = None


def lines(plan: Plan) -> Iterator[TerminalLine]:
    """The plan, line by line."""
    if plan.is_empty and not plan.matched.stale:
        yield TerminalLine(f"Nothing to do: {_UP_TO_DATE.format('feature_repo/')}")
    yield from _change_lines(plan)
    if plan.dependents:
        yield TerminalLine("Who depends on it:", "bold")
    for dependent in plan.dependents:
        yield TerminalLine(f"  {dependent.use_case}, by service {dependent.service}: {_versions(dependent)}")
    recomputations = [one for one in plan.recomputations if one.why]
    if recomputations:
        yield TerminalLine("To compute again:", "bold")
    for one in recomputations:
        yield TerminalLine(f"  {one.use_case}: {amount(one)}")
        yield from (TerminalLine(f"      {reason}{_share(one, count)}") for reason, count in one.reasons.items())
        yield TerminalLine(f"      last time: {duration(one)}")
    notes = [*plan.notes, *_spent(plan)]
    if notes:
        yield TerminalLine("Notes:", "bold")
    yield from (TerminalLine(f"  {note}") for note in notes)
    if plan.is_refused:
        yield from _refusal_lines(plan)


def _change_lines(plan: Plan) -> Iterator[TerminalLine]:
    reasons = plan.matched.reasons
    if plan.changes:
        yield TerminalLine("Changes of feature_repo/ against the registry:", "bold")
    for change in plan.changes:
        text = f"  {_MARKS[change.action]} {change.object}: {_short(_described(change))}"
        yield TerminalLine(text, _STYLES[change.action])
        if change.destroys:
            yield TerminalLine(f"      destroys: {change.destroys}", "red")
            if reason := reasons.get((change.object, change.description)):
                yield TerminalLine(f"      acknowledged: {reason}")


def _refusal_lines(plan: Plan) -> Iterator[TerminalLine]:
    yield TerminalLine(f"REFUSED: {_refusal(plan)}", "red")
    yield from (TerminalLine(f"  {text}") for text in entries(plan.matched.unacknowledged).splitlines())
    if plan.matched.stale:
        yield TerminalLine(f"Entries of feature_repo/{FILE} that fit nothing:", "red")
        yield from (TerminalLine(f"  {entry.object}: {entry.change} ({why})") for entry, why in plan.matched.stale)


def markdown(plan: Plan) -> str:
    """The plan as the text of a comment on a pull request."""
    return "\n".join(_markdown(plan)) + "\n"


def _markdown(plan: Plan) -> Iterator[str]:
    yield "## What this does to the feature store"
    yield ""
    yield from _markdown_summary(plan)
    if plan.changes:
        reasons = plan.matched.reasons
        changes = [
            (f"`{each.object}`", _described(each), each.destroys, reasons.get((each.object, each.description), ""))
            for each in plan.changes
        ]
        yield from _table("Changes", ("object", "change", "destroys", "acknowledged because"), changes)
    if plan.dependents:
        dependents = [
            (each.use_case, f"`{each.service}`", _versions(each), ", ".join(each.objects)) for each in plan.dependents
        ]
        yield from _table("Who depends on it", ("use case", "service", "models", "by"), dependents)
    recomputations = [
        (
            one.use_case,
            amount(one),
            "; ".join(f"{why}{_share(one, count)}" for why, count in one.reasons.items()),
            duration(one),
        )
        for one in plan.recomputations
        if one.why
    ]
    if recomputations:
        yield from _table("To compute again", ("use case", "partitions", "because", "last time"), recomputations)
    notes = [*plan.notes, *_spent(plan)]
    if notes:
        yield from ("", "### Notes", "")
        yield from (f"- {_escaped(note)}" for note in notes)


def _markdown_summary(plan: Plan) -> Iterator[str]:
    """Whether the change is refused, and why."""
    if plan.is_refused:
        yield f"**Refused:** {_refusal(plan)}"
        yield from ("", "```toml", entries(plan.matched.unacknowledged), "```")
        yield ""
    if plan.matched.stale:
        yield f"**Refused:** `feature_repo/{FILE}` acknowledges what is not to be destroyed:"
        yield ""
        yield from (f"- {entry.object}: {entry.change} ({_escaped(why)})" for entry, why in plan.matched.stale)
    if not (plan.is_refused or plan.matched.stale):
        yield (
            f"Nothing: {_UP_TO_DATE.format('`feature_repo/`')}"
            if plan.is_empty
            else "Nothing is destroyed that the change does not acknowledge."
        )


def as_json(plan: Plan) -> dict[str, Any]:
    """A plan, JSON-ready."""
    reasons = plan.matched.reasons
    return {
        "registry": plan.registry,
        "changes": [
            {
                "object": change.object,
                "action": change.action,
                "field": change.field or None,
                "before": change.before or None,
                "after": change.after or None,
                "change": change.description,
                "destroys": change.destroys or None,
                "acknowledged": reasons.get((change.object, change.description)),
            }
            for change in plan.changes
        ],
        "refused": plan.is_refused,
        "acknowledgements": {
            "spent": [vars(entry) for entry in plan.matched.spent],
            "stale": [vars(entry) | {"why": why} for entry, why in plan.matched.stale],
        },
        "dependents": [
            {
                "use_case": one.use_case,
                "service": one.service,
                "objects": list(one.objects),
                "versions": [
                    {
                        "version": version.number,
                        "role": version.role,
                        "features": list(features),
                        "recorded": version.recorded,
                    }
                    for version, features in one.touched
                ],
            }
            for one in plan.dependents
        ],
        "recompute": [
            {
                "use_case": one.use_case,
                "partitions": list(one.partitions),
                "reasons": one.reasons,
                "held": one.in_lake,
                "unrecorded": list(one.unrecorded),
                "seconds_last_time": one.seconds,
                "measured": one.measured,
            }
            for one in plan.recomputations
        ],
        "widened": {table: list(columns) for table, columns in plan.widened.items()},
        "unexplained": list(plan.unexplained),
        "notes": list(plan.notes),
    }


def _table(title: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield from ("", f"### {title}", "")
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(_escaped(cell) for cell in row)} |"


def _escaped(text: str) -> str:
    """Text of definitions as Markdown that shows it and does nothing else, such as mention a person."""
    for mark in "\\|<[@":
        text = text.replace(mark, f"&#{ord(mark)};")
    return " ".join(text.split())


def entries(changes: Sequence[Change]) -> str:
    """Entries that acknowledge these changes, for the file once a reason is filled in."""
    return "\n\n".join(
        f'[[destroys]]\nobject = {json.dumps(change.object)}\nchange = {json.dumps(change.description)}\nreason = ""'
        for change in changes
    )


def _refusal(plan: Plan) -> str:
    count = len(plan.matched.unacknowledged)
    return (
        f"{count} change{'s' if count > 1 else ''} would destroy something and {'are' if count > 1 else 'is'} not"
        f" acknowledged. If this is intended, add to feature_repo/{FILE}, with a reason:"
    )


def _described(change: Change) -> str:
    if change.action == "added" and not change.field and change.after:
        return f"added: {change.after}"
    return change.description


def _versions(dependent: Dependent) -> str:
    """The model versions that use what changes; another one is none of its dependents."""
    uses = [f"{version} uses {_some(features)}" for version, features in dependent.touched]
    return "; ".join(uses) or ("no model version uses what changes" if dependent.versions else "no model yet")


def _some(names: Sequence[str]) -> str:
    """The first few of them, and how many more there are."""
    more = len(names) - _FEW
    return ", ".join(names[:_FEW]) + (f" and {more} more" if more > 0 else "")


def amount(one: Recomputation) -> str:
    """How many partitions, and which."""
    first, last = one.partitions[0], one.partitions[-1]
    span = first if first == last else f"{first}..{last}"
    return f"{len(one.partitions)} of {one.in_lake} partitions ({span})"


def _share(one: Recomputation, count: int) -> str:
    return "" if count == len(one.partitions) else f" ({count} of them)"


def duration(one: Recomputation) -> str:
    """How long the same partitions took last time, and how that is known."""
    if one.seconds is None:
        return one.measured or "not asked"
    minutes, seconds = divmod(round(one.seconds), 60)
    clock = f"{minutes} min {seconds} s" if minutes else f"{one.seconds:.1f} s"
    return f"{clock}, by {one.measured}"


def _spent(plan: Plan) -> Iterator[str]:
    for entry in plan.matched.spent:
        yield f"feature_repo/{FILE}: {entry.object}: {entry.change}: is applied, so the entry may be deleted."


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
