"""The form that starts a training."""

from __future__ import annotations

from collections.abc import Mapping

from perennial.dag_names import TRAINING, dag_id
from perennial.pages.forms import fields
from perennial.pages.forms.form import Facts, Form, pipeline_warnings, run_id, start_run, who_decides
from perennial.use_case import UseCase

_SHOWN_FIRST = ("window_start", "window_end", "require_approval")


def build(use_case: UseCase, facts: Facts, typed: Mapping[str, str], sent: bool) -> Form:
    """The form that starts a training.

    Args:
        use_case: Whose.
        facts: What is true now.
        typed: What was typed.
        sent: Whether the person has sent the form.
    """
    params, problems = fields.parse(use_case, use_case.params, typed)
    others = [name for name in use_case.params.model_fields if name not in _SHOWN_FIRST]
    shown = problems if sent else {}
    reference = f"the champion v{facts.champion.model_version}" if facts.champion else "the baseline model"
    length = use_case.retraining.window
    window = f"the last {length} partitions" if length else f"all partitions from {use_case.first.key} on"
    run = run_id(facts, typed)
    return Form(
        action="retrain",
        title="Retrain",
        consequences=(
            f"Airflow starts a run of {dag_id(use_case.name, TRAINING)} in your name; your reason is noted on it.",
            f"It trains a new version on {window}, up to the newest one that has examples or an open request.",
            f"The gate evaluates the new version against {reference}, on data that neither was trained on."
            f" {who_decides(use_case, facts.pause)}",
        ),
        warnings=pipeline_warnings(facts.pipelines[TRAINING]),
        buttons=[("retrain", "Retrain", "main")],
        hidden={"as": run},
        fields=fields.fields(use_case.params, _SHOWN_FIRST, typed, shown),
        folded=fields.fields(use_case.params, others, typed, shown),
        problems=[problem for name, problem in shown.items() if name not in use_case.params.model_fields],
        call=start_run(TRAINING, run, typed, params),
    )
