"""Retraining policies to replay: the declared one, variations of it, and the references that all are measured by.

Light to import.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import ValidationError

from perennial._common.suggestions import did_you_mean
from perennial.errors import InvalidParams
from perennial.evaluation.regret import ALWAYS, BASELINE
from perennial.use_case import UseCase
from perennial.use_case.declarations import problems

#: The reference policies; their names are stored, so they never change.
DECLARED, NEVER = "declared", "never"
REFERENCES: dict[str, str] = {
    NEVER: "the first model, never retrained",
    ALWAYS: "the recipe refitted at every partition on all rows of its window, without a gate",
    BASELINE: "the baseline model, which needs no training",
}
#: What a policy may vary -> the part of `use_case.py` that it is in.
VARIABLE = {
    "window": "retraining",
    "max_age": "retraining",
    "cooldown": "retraining",
    "margin": "gate",
    "confidence": "gate",
    "holdout_share": "gate",
    "refit": "gate",
    "performance_drop": "drift",
}
_NONE, _TRUE, _FALSE = {"none", "all", "never"}, {"yes", "true", "on"}, {"no", "false", "off"}
#: Windows, as shares of the history, that are tried by default.
_SHARES = (0.25, 0.5)
#: Cadences, in partitions, that are tried by default.
_CADENCES = (1, 2, 3)

Kind = Literal["loop", "never", "always", "baseline"]


@dataclass(frozen=True)
class Policy:
    """A policy.

    Attributes:
        name: Unique among those that are compared.
        kind: `loop`: requests, gate and promotions as `use_case` declares them; else a reference.
        use_case: The use case with what the policy varies.
        changes: Field -> value, of what differs from the use case as declared.
    """

    name: str
    kind: Kind
    use_case: UseCase
    changes: dict[str, Any] = field(default_factory=dict)

    @property
    def can_be_declared(self) -> bool:
        """Whether `use_case.py` can say this policy."""
        return self.kind == "loop"

    @property
    def description(self) -> str:
        """What it is, for people."""
        if self.kind == "loop":
            return "as `use_case.py` declares" if not self.changes else ", ".join(map(_setting, self.changes.items()))
        return REFERENCES[self.kind]


def declared(use_case: UseCase) -> Policy:
    """The policy that `use_case.py` declares."""
    return Policy(DECLARED, "loop", use_case)


def references(use_case: UseCase) -> list[Policy]:
    """The references, and the policy as declared."""
    return [
        declared(use_case),
        Policy(NEVER, "never", use_case),
        Policy(ALWAYS, "always", use_case),
        Policy(BASELINE, "baseline", use_case),
    ]


def variations(use_case: UseCase, partitions: int) -> list[Policy]:
    """The variations that are tried unless somebody names others: one thing at a time, then what is most eager.

    Args:
        use_case: As declared.
        partitions: How many partitions the history has.
    """
    made = {}
    for changes in _changes(use_case, partitions):
        policy = _varied(use_case, changes)
        if policy.changes:
            made[policy.name] = policy
    return list(made.values())


def _changes(use_case: UseCase, partitions: int) -> Iterator[dict[str, Any]]:
    for cadence in _CADENCES:
        yield {"max_age": cadence, "cooldown": min(cadence - 1, use_case.retraining.cooldown)}
    windows = {round(share * partitions) for share in _SHARES}
    for window in sorted(each for each in windows if each > use_case.retraining.initial_partitions):
        yield {"window": window}
    yield {"window": None}
    yield {"margin": 0.0}
    yield {"refit": not is_refitting(use_case)}
    yield {"max_age": 1, "cooldown": 0, "margin": 0.0, "refit": True}


def parse(use_case: UseCase, text: str) -> Policy:
    """A policy as a person writes it: a reference's name, or what varies, as in `max_age=1,margin=0`.

    Args:
        use_case: As declared.
        text: `declared`, `never`, `always`, `baseline`, or `field=value` pairs with commas between them; a value may
            be `none` (of a window: `all`), `yes` or `no`.

    Raises:
        InvalidParams: an unknown name or field, or a value that the field does not take.
    """
    named = {policy.name: policy for policy in references(use_case)}
    if text.strip() in named:
        return named[text.strip()]
    changes = {}
    for part in text.split(","):
        name, equals, value = (each.strip() for each in part.partition("="))
        if not equals or name not in VARIABLE:
            known = [*named, *VARIABLE] if not equals else list(VARIABLE)
            raise InvalidParams(
                f"{text!r} is no policy: {name!r} is not one of {', '.join(known)}.",
                did_you_mean(name, known) or "Write field=value pairs: --policy max_age=1,margin=0",
            )
        changes[name] = _value(value)
    return _varied(use_case, changes)


def is_refitting(use_case: UseCase) -> bool:
    """Whether what the gate promotes is refitted on the whole window, holdout included."""
    return use_case.gate.refit


def _value(text: str) -> Any:
    lower = text.lower()
    if lower in _NONE:
        return None
    if lower in _TRUE | _FALSE:
        return lower in _TRUE
    return text


def _varied(use_case: UseCase, changes: dict[str, Any]) -> Policy:
    """The policy with these changes, less those that change nothing."""
    parts: dict[str, Any] = {}
    for part in dict.fromkeys(VARIABLE[name] for name in changes):
        before = getattr(use_case, part)
        own = {name: value for name, value in changes.items() if VARIABLE[name] == part}
        try:
            parts[part] = type(before).model_validate({**dict(before), **own})
        except ValidationError as error:
            raise InvalidParams(
                f"A policy of use case {use_case.name!r}: {part}.{problems(error)}.",
                "The fields are those of `use_case.py`: see docs/use_case_fields.md.",
            ) from error
    values = {name: getattr(parts[VARIABLE[name]], name) for name in changes}
    differing = {
        name: value for name, value in values.items() if value != getattr(getattr(use_case, VARIABLE[name]), name)
    }
    name = ",".join(map(_setting, differing.items())) or DECLARED
    return Policy(name, "loop", use_case.model_copy(update=parts), differing)


def _setting(item: tuple[str, Any]) -> str:
    name, value = item
    text = ("all" if name == "window" else "none") if value is None else value
    return f"{name}={ {True: 'yes', False: 'no'}[value] if isinstance(value, bool) else text }"
