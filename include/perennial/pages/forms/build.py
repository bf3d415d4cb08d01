"""Builds the form of an action: what a person reads and fills in before it is sent to Airflow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from perennial.dag_names import CHAMPION, TRAINING
from perennial.pages.access import Action
from perennial.pages.airflow_state import Pipeline
from perennial.pages.forms import answer, fields, resume, retrain, roll_back
from perennial.pages.forms.form import Facts, Form
from perennial.use_case import UseCase

_BUILDERS = {
    "retrain": retrain.build,
    "roll-back": roll_back.build,
    "resume": resume.build,
    "answer": answer.build,
}


def build(use_case: UseCase, action: Action, facts: Facts, typed: Mapping[str, str], sent: bool) -> Form:
    """The form of an action.

    Args:
        use_case: Whose.
        action: Which.
        facts: What is true now.
        typed: What was typed, or what the address says.
        sent: Whether the person has sent the form; only then problems are shown, and the call is made if there are
            none.
    """
    form = _BUILDERS[action](use_case, facts, typed, sent)
    unknown = _unknown_dag(facts.pipelines[TRAINING if action in ("retrain", "answer") else CHAMPION])
    reason, problem = fields.reason(typed)
    form = replace(form, reason=reason, reason_problem=problem if sent else "", blocked=form.blocked or unknown)
    return replace(form, call=None) if not sent or form.blocked or form.has_problems else form


def _unknown_dag(pipeline: Pipeline) -> str:
    if pipeline.known:
        return ""
    return f"Airflow has no DAG {pipeline.dag}: its file was not read yet, or has an error."
