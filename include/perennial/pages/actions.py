"""What a person can do in a use case, each with a reason: retrain, approve or reject, roll back, resume promotion.

A form says what will happen; sent, it becomes one call of Airflow's REST API in the person's name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import urlencode

import httpx
from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from perennial import lake_cache
from perennial.dag_names import CHAMPION, TRAINING, dag_id
from perennial.pages import airflow_rest, airflow_state, markdown
from perennial.pages.access import Action, ActionDep, UseCaseDep, from_our_own_page
from perennial.pages.airflow_state import AirflowRun
from perennial.pages.forms import build, fields
from perennial.pages.forms.form import Facts, Form
from perennial.pages.layout import page, root
from perennial.pages.requests import sent_fields
from perennial.registry import ledger
from perennial.services.airflow_api import error_detail
from perennial.use_case import UseCase

router = APIRouter(prefix="/use_cases/{use_case}")

#: What was done, by the name that the address of the next page carries.
_DONE = {
    "retrain": "Retraining was started.",
    "roll-back": "The rollback was started.",
    "resume": "Automatic promotion is being resumed.",
    "approve": "You approved: the new version is being promoted.",
    "reject": "You rejected: the champion stays.",
    "already": "This form was already sent. Nothing was started a second time.",
}
_RUN = re.compile(r"[\w.~:+-]{1,250}", re.ASCII)


@dataclass(frozen=True)
class Done:
    """What was just done, in a sentence, and the run that carries it out."""

    message: str
    run: AirflowRun


@router.get("/actions/{action}")
def show(request: Request, use_case: UseCaseDep, action: ActionDep) -> HTMLResponse:
    """The form of an action.

    Args:
        request: Its query may fill in fields.
        use_case: Whose.
        action: Which.
    """
    typed = dict(request.query_params)
    return _page(request, use_case, build.build(use_case, action, _facts(use_case, action, typed), typed, sent=False))


@router.get("/acts/{action}")
def show_at_old_address(request: Request, use_case: UseCaseDep, action: ActionDep) -> Response:
    """Lead to the form of an action from where it was in earlier releases.

    Args:
        request: Its query is kept.
        use_case: Whose.
        action: Which.
    """
    query = f"?{request.url.query}" if request.url.query else ""
    return RedirectResponse(f"{root(request)}/use_cases/{use_case.name}/actions/{action}{query}", 308)


@router.post("/actions/{action}", dependencies=[Depends(from_our_own_page)])
async def carry_out(request: Request, use_case: UseCaseDep, action: ActionDep) -> Response:
    """Carry out the action and lead to the use case's page; or show the form again with what is wrong.

    Args:
        request: Its form is what was typed; the person is taken from it.
        use_case: Whose.
        action: Which.

    Raises:
        HTTPException: Airflow refuses it, or what was sent is no form.
    """
    # Only the call waits, and it needs a thread of Airflow's pool: holding one meanwhile could block all.
    typed = await sent_fields(request)
    form = await run_in_threadpool(_sent, use_case, action, typed)
    if form.call is None:
        return _page(request, use_case, form, 409 if form.blocked else 422)
    path = f"/dags/{use_case.name}.{form.call.pipeline}{form.call.path}"
    response = await airflow_rest.call(request, form.call.method, path, form.call.body)
    done = typed["choice"].lower() if action == "answer" else action
    if response.status_code == 409 and action != "answer":
        done = "already"
    elif not response.is_success:
        return await run_in_threadpool(_refused, request, use_case, form, response, typed)
    query = urlencode({"done": done, "of": form.call.pipeline, "run": form.call.run})
    return RedirectResponse(f"{root(request)}/use_cases/{use_case.name}?{query}", 303)


def done(use_case: UseCase, query: Mapping[str, str]) -> Done | None:
    """What was just done, by the address of the use case's page; None: nothing, or there is no such run.

    Args:
        use_case: Whose page.
        query: The parameters in its address.
    """
    message, run_id, pipeline = _DONE.get(query.get("done", "")), query.get("run", ""), query.get("of", "")
    if message is None or pipeline not in (TRAINING, CHAMPION) or not _RUN.fullmatch(run_id):
        return None
    run = airflow_state.run(f"{use_case.name}.{pipeline}", run_id)
    return Done(message, run) if run else None


def _sent(use_case: UseCase, action: Action, typed: Mapping[str, str]) -> Form:
    return build.build(use_case, action, _facts(use_case, action, typed), typed, sent=True)


def _facts(use_case: UseCase, action: Action, typed: Mapping[str, str]) -> Facts:
    """What is true now: read again for every form."""
    table = f"{use_case.name}.ledger"
    entries = ledger.from_rows(lake_cache.records([table])[table])
    pipelines = airflow_state.pipelines([use_case.name])[use_case.name]
    if action != "answer":
        return Facts(entries, pipelines)
    run, approvals = typed.get("run"), airflow_state.approvals([use_case.name]).get(use_case.name, [])
    approval = next((each for each in approvals if run in (None, each.run.id)), None)
    response = airflow_state.answer(dag_id(use_case.name, TRAINING), run) if run and approval is None else None
    return Facts(entries, pipelines, approval, (run, response) if run and response else None)


def _page(request: Request, use_case: UseCase, form: Form, status: int = 200) -> HTMLResponse:
    return page(
        request,
        "action",
        status,
        use_case=use_case,
        form=form,
        evidence=markdown.html(form.evidence),
        longest=fields.LONGEST,
    )


def _refused(
    request: Request, use_case: UseCase, form: Form, response: httpx.Response, typed: Mapping[str, str]
) -> HTMLResponse:
    """Airflow's refusal: the form again where its content is the reason, else a page that says why."""
    reason = error_detail(response, f"Airflow answered {response.status_code}.")
    if response.status_code == 409:  # Somebody answered in between: the form now says who.
        return _page(request, use_case, _sent(use_case, form.action, typed), 409)
    if response.status_code in (400, 422):
        return _page(request, use_case, replace(form, problems=[f"Airflow did not accept it: {reason}"]), 422)
    raise HTTPException(503 if response.status_code >= 500 else response.status_code, reason)
