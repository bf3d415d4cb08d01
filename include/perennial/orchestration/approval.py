"""The tasks of `training` by which a person approves or rejects a promotion, and what that person reads."""

from __future__ import annotations

from typing import Any

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import Param, task

from perennial import dag_names, gate
from perennial.orchestration.task_context import params_of_run, use_case_of_run
from perennial.use_case import UseCase


@task.branch(task_id=dag_names.NEEDS_APPROVAL)
def needs_approval(decision: dict[str, Any]) -> str:
    """Ask a person if a policy or a pause of automatic promotion says so and there is something to promote."""
    policy = params_of_run()["require_approval"]
    is_asked = gate.needs_approval(use_case_of_run(), gate.GateDecision(**decision), policy)
    return dag_names.APPROVE if is_asked else dag_names.FINALIZE


def approval_task(use_case: UseCase) -> HITLOperator:
    """A person decides. The request shows the gate's evidence; no response in time is a rejection."""
    return HITLOperator(
        task_id=dag_names.APPROVE,
        subject=f"Promote a new champion of {use_case.name}?",
        body=f"{{{{ approval_question(ti.xcom_pull(task_ids='{dag_names.REFIT}')) }}}}",
        options=["Approve", "Reject"],
        params={"reason": _reason()},
        defaults="Reject",
        response_timeout=use_case.gate.approval_timeout,
        doc_md=approval_task.__doc__,
    )


def _approval_question(decision: dict[str, Any]) -> str:
    """The gate's evidence as the person reads it, in Markdown."""
    return gate.approval_question(use_case_of_run(), gate.GateDecision(**decision))


#: What the template of `approval_task` calls: the DAG needs them as `user_defined_macros`.
APPROVAL_MACROS = {"approval_question": _approval_question}


def _reason() -> Param:
    # Not required: a script that responds over REST may leave it out.
    return Param(None, title="reason", description="Why; it is kept in the ledger.", type=["null", "string"])
