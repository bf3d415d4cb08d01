"""The gate: whether a challenger replaces the champion, measured on data later than anything either was trained on.

- `decision`: what the gate decides, rule by rule, as data and as tables for people;
- `challenger`: evaluates a challenger; `promotion`: asks for approval where needed and carries the decision out;
- `refit`: fits what has passed again on its whole window, and checks that the refit is like it;
- `rules`: what a challenger must fulfil, on the whole holdout and on its slices;
- `rollout_start`: begins to try a challenger on live requests; `rollout`: carries that on or ends it;
  `rollout_evidence`: what the requests tell; `rollout_rules`: what follows; `rollout_request`: what a person may want;
- `shadow`: puts a version in shadow because a person wants to look at it;
- `smoke` and `fresh_process`: the stored model loaded and run in a process of its own; `server_check`: by the
  prediction server that runs;
- `servable`: whether a version can serve; `rollback_plan` and `rollback`: let an earlier version serve again;
- `model_card`: the page about a version.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from perennial._common.lazy_imports import attributes_of
from perennial.gate.decision import GateDecision, Rule

if TYPE_CHECKING:
    from perennial.gate.challenger import evaluate
    from perennial.gate.promotion import approval_question, finalize, needs_approval
    from perennial.gate.refit import refit_challenger

__all__ = ["GateDecision", "Rule", "approval_question", "evaluate", "finalize", "needs_approval", "refit_challenger"]

__getattr__ = attributes_of(
    __name__,
    {
        ".challenger": ("evaluate",),
        ".promotion": ("approval_question", "finalize", "needs_approval"),
        ".refit": ("refit_challenger",),
    },
)
