"""The classes of a multi-class use case: how their names have to look, and what such a use case cannot declare."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from perennial.use_case.definition import UseCase

#: The column of what is predicted; drift of it has no feature importance.
PREDICTION = "prediction"
#: What the column of a class's probability begins with.
PROBABILITY = "probability_"
#: A task with classes that have names.
MULTICLASS = "multiclass"
_FEWEST = 3
_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_]{0,47}$")


def is_prediction(use_case: UseCase, column: str) -> bool:
    """Whether a column is the prediction or, of a multi-class use case, the probability of a class, declared or not."""
    return column == PREDICTION or (use_case.task == MULTICLASS and column.startswith(PROBABILITY))


def check(use_case: UseCase) -> None:
    """Refuse classes that are missing, malformed or of another task, and what has no meaning for several classes.

    Args:
        use_case: The declaration.

    Raises:
        ValueError: saying which.
    """
    classes = use_case.classes
    if use_case.task != MULTICLASS:
        if classes:
            raise ValueError(f"classes are of task 'multiclass', and this one is {use_case.task!r}: leave them out")
        return
    if len(classes) < _FEWEST:
        raise ValueError(
            f"task 'multiclass' needs classes=(...), at least {_FEWEST} names; of two the task is 'binary', with the"
            " label 1 for one of them"
        )
    for name in classes:
        if not _NAME.match(name):
            raise ValueError(
                f"class {name!r}: a name is letters, digits and underscores, at most 48, since a column is named by it:"
                " let `examples` return such names as labels"
            )
    folded = [name.lower() for name in classes]
    if twice := next((name for name in classes if folded.count(name.lower()) > 1), None):
        raise ValueError(f"class {twice!r} is declared twice; names that differ in case only are one to SQL")
    if taken := {PROBABILITY + name for name in folded} & {name.lower() for name in _columns(use_case)}:
        raise ValueError(f"column {min(taken)!r} of the examples is what a class's probability is called: rename it")
    if use_case.value is not None:
        raise ValueError(
            "value is of two outcomes, or of a number: with several classes no decision follows from a threshold; leave"
            " it out"
        )
    if use_case.gate.baseline is not None:
        raise ValueError(
            f"gate.baseline {use_case.gate.baseline!r} is a feature that predicts a number: of several classes the"
            " baseline model is how frequent each is; leave it out"
        )


def _columns(use_case: UseCase) -> set[str]:
    examples = use_case.examples
    weight = {examples.weight} if examples.weight is not None else set()
    return {*examples.key, *examples.request_features, *weight}
