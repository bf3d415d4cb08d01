"""The form that resumes automatic promotion."""

from __future__ import annotations

from collections.abc import Mapping

from perennial.dag_names import CHAMPION, dag_id
from perennial.pages.forms.form import Facts, Form, pipeline_warnings, run_id, start_run, who_decides
from perennial.registry import deployments
from perennial.use_case import UseCase

_TITLE = "Resume automatic promotion"


def build(use_case: UseCase, facts: Facts, typed: Mapping[str, str], _sent: bool) -> Form:
    """The form that resumes automatic promotion.

    Args:
        use_case: Whose.
        facts: What is true now.
        typed: What was typed.
    """
    if facts.pause is None:
        return Form("resume", _TITLE, (), (), blocked="Automatic promotion is not paused: there is nothing to resume.")
    run = run_id(facts, typed)
    return Form(
        action="resume",
        title=_TITLE,
        consequences=(
            f"This pause ends: {deployments.pause_text(facts.pause)}.",
            f"From then on the gate decides as the use case declares. {who_decides(use_case)}",
            f"A run of {dag_id(use_case.name, CHAMPION)} does this in your name;"
            " the ledger records your name and your reason.",
        ),
        warnings=pipeline_warnings(facts.pipelines[CHAMPION]),
        buttons=[("resume", "Resume", "main")],
        hidden={"as": run},
        call=start_run(CHAMPION, run, typed, {"action": "resume"}),
    )
