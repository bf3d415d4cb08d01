"""The gate: whether a challenger replaces the champion, judged on data later than anything either was trained on.

- `decision`: what it decides, rule by rule, as data and as tables for people (light to import);
- `judging`: judge a challenger; `settling`: carry the decision out, after asking a person where that is wanted;
- `rules`: what a challenger must fulfil, `slices`: also on parts of the holdout; `bootstrap` and `blocks`: how sure one
  can be that it is better;
- `smoke` and `fresh`: the stored model in a process of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from perennial._common.lazy_imports import attributes_of
from perennial.gate.decision import Decision, Rule

if TYPE_CHECKING:
    from perennial.gate.challenger import judge
    from perennial.gate.promotion import is_for_a_person, question, settle

__all__ = ["Decision", "Rule", "is_for_a_person", "judge", "question", "settle"]

__getattr__ = attributes_of(
    __name__, {".challenger": ("judge",), ".promotion": ("is_for_a_person", "question", "settle")}
)
