"""A plan as lines for a terminal, as Markdown for a pull request, and as JSON for programs."""

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


class Line(NamedTuple):
    """A line of a terminal, and its colour."""

    text: str
    style: str | None = None


def lines(made: Plan) -> Iterator[Line]:
    """The plan, line by line."""
    if made.is_empty and not made.matched.stale:
        yield Line("Nothing to do: the registry holds what feature_repo/ says, and every partition is computed by it.")
    reasons = {(change.object, change.what): reason for change, reason in made.matched.given}
    if made.changes:
        yield Line("Changes of feature_repo/ against the registry:", "bold")
    for change in made.changes:
        yield Line(f"  {_MARKS[change.action]} {change.object}: {_short(_said(change))}", _STYLES[change.action])
        if change.danger:
            yield Line(f"      destroys: {change.danger}", "red")
            if reason := reasons.get((change.object, change.what)):
                yield Line(f"      acknowledged: {reason}")
    if made.dependents:
        yield Line("Who depends on it:", "bold")
    for dependent in made.dependents:
        yield Line(f"  {dependent.use_case}, by service {dependent.service}: {_versions(dependent)}")
    if any(one.why for one in made.recomputations):
        yield Line("To compute again:", "bold")
    for one in made.recomputations:
        if one.why:
            yield Line(f"  {one.use_case}: {amount(one)}")
            yield from (Line(f"      {reason}{_of(one, count)}") for reason, count in one.reasons.items())
            yield Line(f"      last time: {took(one)}")
    if made.notes or made.matched.spent:
        yield Line("Notes:", "bold")
    yield from (Line(f"  {note}") for note in (*made.notes, *_spent(made)))
    if made.is_refused:
        yield Line(f"REFUSED: {_refusal(made)}", "red")
        yield from (Line(f"  {text}") for text in entries(made.matched.missing).splitlines())
        if made.matched.stale:
            yield Line(f"What feature_repo/{FILE} says fits nothing:", "red")
            yield from (Line(f"  {entry.object}: {entry.change} ({why})") for entry, why in made.matched.stale)


def markdown(made: Plan) -> str:
    """The plan as the text of a comment."""
    return "\n".join(_markdown(made)) + "\n"


def _markdown(made: Plan) -> Iterator[str]:
    yield "## What this does to the feature store"
    yield ""
    if made.is_refused:
        yield f"**Refused:** {_refusal(made)}"
        yield from ("", "```toml", entries(made.matched.missing), "```")
        yield ""
    if made.matched.stale:
        yield f"**Refused:** `feature_repo/{FILE}` acknowledges what is not to be destroyed:"
        yield ""
        yield from (f"- {entry.object}: {entry.change} ({_escaped(why)})" for entry, why in made.matched.stale)
    if not (made.is_refused or made.matched.stale):
        yield (
            "Nothing: the registry holds what `feature_repo/` says, and every partition is computed by it."
            if made.is_empty
            else "Nothing is destroyed that the change does not acknowledge."
        )
    if made.changes:
        reasons = {(change.object, change.what): reason for change, reason in made.matched.given}
        rows = [
            (f"`{change.object}`", _said(change), change.danger or "", reasons.get((change.object, change.what), ""))
            for change in made.changes
        ]
        yield from _table("Changes", ("object", "change", "destroys", "acknowledged because"), rows)
    if made.dependents:
        depending = [
            (dependent.use_case, f"`{dependent.service}`", _versions(dependent), ", ".join(dependent.objects))
            for dependent in made.dependents
        ]
        yield from _table("Who depends on it", ("use case", "service", "models", "by"), depending)
    again = [
        (
            one.use_case,
            amount(one),
            "; ".join(f"{why}{_of(one, count)}" for why, count in one.reasons.items()),
            took(one),
        )
        for one in made.recomputations
        if one.why
    ]
    if again:
        yield from _table("To compute again", ("use case", "partitions", "because", "last time"), again)
    notes = [*made.notes, *_spent(made)]
    if notes:
        yield from ("", "### Notes", "")
        yield from (f"- {_escaped(note)}" for note in notes)


def as_json(made: Plan) -> dict[str, Any]:
    """A plan, JSON-ready."""
    reasons = {(change.object, change.what): reason for change, reason in made.matched.given}
    return {
        "registry": made.registry,
        "changes": [
            {
                "object": change.object,
                "action": change.action,
                "field": change.field or None,
                "before": change.before or None,
                "after": change.after or None,
                "change": change.what,
                "destroys": change.danger or None,
                "acknowledged": reasons.get((change.object, change.what)),
            }
            for change in made.changes
        ],
        "refused": made.is_refused,
        "acknowledgements": {
            "spent": [vars(entry) for entry in made.matched.spent],
            "stale": [vars(entry) | {"why": why} for entry, why in made.matched.stale],
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
                        "features": list(dict(one.touched).get(version, ())),
                        "recorded": version.recorded,
                    }
                    for version in one.versions
                ],
            }
            for one in made.dependents
        ],
        "recompute": [
            {
                "use_case": one.use_case,
                "partitions": list(one.partitions),
                "reasons": one.reasons,
                "held": one.held,
                "unrecorded": list(one.unrecorded),
                "seconds_last_time": one.seconds,
                "measured": one.measured,
            }
            for one in made.recomputations
        ],
        "widened": {table: list(columns) for table, columns in made.widened.items()},
        "unexplained": list(made.unexplained),
        "notes": list(made.notes),
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


def entries(missing: Sequence[Change]) -> str:
    """What would acknowledge these changes, to be put into the file once a reason is given."""
    return "\n\n".join(
        f'[[destroys]]\nobject = {json.dumps(change.object)}\nchange = {json.dumps(change.what)}\nreason = ""'
        for change in missing
    )


def _refusal(made: Plan) -> str:
    many = len(made.matched.missing)
    return (
        f"{many} change{'s' if many > 1 else ''} would destroy something, and the change does not say that it is meant"
        f" to. If it is, add to feature_repo/{FILE}, with a reason:"
    )


def _said(change: Change) -> str:
    if change.action == "added" and not change.field and change.after:
        return f"added: {change.after}"
    return change.what


def _versions(dependent: Dependent) -> str:
    touched = dict(dependent.touched)
    said = [
        f"{version} uses {_some(touched[version])}" if version in touched else f"{version} uses none of it"
        for version in dependent.versions
    ]
    return "; ".join(said) or "no model yet"


def _some(names: Sequence[str]) -> str:
    """The first few of them, and how many more there are."""
    more = len(names) - _FEW
    return ", ".join(names[:_FEW]) + (f" and {more} more" if more > 0 else "")


def amount(one: Recomputation) -> str:
    """How many partitions, and which."""
    first, last = one.partitions[0], one.partitions[-1]
    span = first if first == last else f"{first}..{last}"
    return f"{len(one.partitions)} of {one.held} partitions ({span})"


def _of(one: Recomputation, count: int) -> str:
    return "" if count == len(one.partitions) else f" ({count} of them)"


def took(one: Recomputation) -> str:
    """How long the same partitions took last time, and where that is from."""
    if one.seconds is None:
        return one.measured or "not asked"
    minutes, seconds = divmod(round(one.seconds), 60)
    clock = f"{minutes} min {seconds} s" if minutes else f"{one.seconds:.1f} s"
    return f"{clock}, by {one.measured}"


def _spent(made: Plan) -> Iterator[str]:
    for entry in made.matched.spent:
        yield f"feature_repo/{FILE}: {entry.object}: {entry.change}: is done, so the entry may be deleted."


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
