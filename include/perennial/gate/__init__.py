"""The gate: whether a challenger replaces the champion, judged on data later than anything either was trained on.

- `decision`: what it decides, rule by rule, as data and as tables for people (light to import);
- `judging`: judge a challenger; `settling`: carry the decision out, after asking a person where that is wanted;
- `rules`: what a challenger must fulfil, `slices`: also on parts of the holdout; `bootstrap` and `blocks`: how sure one
  can be that it is better;
- `smoke` and `fresh`: the stored model in a process of its own.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from perennial.gate.decision import Decision, Rule

if TYPE_CHECKING:
    from perennial.gate.challenger import judge
    from perennial.gate.promotion import is_for_a_person, question, settle

__all__ = ["Decision", "Rule", "is_for_a_person", "judge", "question", "settle"]


def __getattr__(name: str) -> Any:
    """A function of the gate, imported when it is first used: whoever only reads decisions needs no MLflow."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"perennial.gate.{'judging' if name == 'judge' else 'settling'}"), name)
