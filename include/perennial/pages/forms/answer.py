"""The form that approves or rejects a promotion which the gate asks a person about."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from perennial.dag_names import TRAINING
from perennial.pages.airflow_state import Approval
from perennial.pages.forms import fields
from perennial.pages.forms.form import Call, Facts, Form, pipeline_warnings
from perennial.registry import deployments
from perennial.use_case import UseCase

_CHOICES = ("Approve", "Reject")


def build(use_case: UseCase, facts: Facts, typed: Mapping[str, str], sent: bool) -> Form:
    """The form that approves or rejects a promotion.

    Args:
        use_case: Whose.
        facts: What is true now.
        typed: What was typed.
        sent: Whether the person has sent the form.
    """
    approval = facts.approval
    if approval is None:
        return Form("answer", "Approve or reject", (), (), blocked=_no_request(facts))
    choice = typed.get("choice", "")
    ends = approval.requested_at + use_case.gate.approval_timeout
    champion = facts.champion
    unchanged = f"v{champion.model_version} stays champion" if champion else "there is still no champion"
    return Form(
        action="answer",
        title=approval.subject,
        consequences=(
            "Approve: the new version becomes champion. It predicts from the first partition on that it was not trained"
            " or evaluated on and that is not scored yet.",
            f"Reject: {unchanged}.",
            f"Without a response by {deployments.format_utc(ends)} UTC it is rejected.",
            "The ledger records your name and your reason.",
        ),
        warnings=pipeline_warnings(facts.pipelines[TRAINING], waiting=False),
        buttons=[("Approve", "Approve", "main"), ("Reject", "Reject", "grave")],
        hidden={"run": approval.run.id},
        evidence=approval.body,
        problems=["Choose one of the two buttons."] if sent and choice not in _CHOICES else [],
        call=_respond(approval, choice, fields.reason(typed)[0]),
    )


def _respond(approval: Approval, choice: str, reason: str) -> Call:
    parts = (approval.run.id, "taskInstances", approval.task, str(approval.map_index))
    path = "/".join(quote(part, safe="") for part in parts)
    body = {"chosen_options": [choice], "params_input": {"reason": reason}}
    return Call("PATCH", TRAINING, f"/dagRuns/{path}/hitlDetails", body, approval.run.id)


def _no_request(facts: Facts) -> str:
    if facts.answered is None:
        return "No promotion is pending approval."
    run, response = facts.answered
    answered = (
        f"{response.by} answered {response.chosen}" if response.by else f"Nobody answered in time: {response.chosen}"
    )
    return f"{answered} on {deployments.format_utc(response.at)} UTC (run {run}). A request is answered once."
