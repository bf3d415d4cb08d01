"""What a person can do in a use case, each with a reason: retrain, answer the gate's question, roll back, resume.

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
from perennial.pages import airflow_rest, airflow_state, markdown
from perennial.pages.access import Act, ActDep, UseCaseDep, from_our_own_page
from perennial.pages.airflow_state import Run
from perennial.pages.forms import fields, forms
from perennial.pages.forms.forms import Facts, Form
from perennial.pages.layout import page, root
from perennial.registry import ledger
from perennial.services.airflow_api import error_detail
from perennial.use_case import UseCase

router = APIRouter(prefix="/use_cases/{use_case}/acts")

#: What was done, as the address of the next page says it.
_DONE = {
    "retrain": "Retraining is under way.",
    "roll-back": "The roll-back is under way.",
    "resume": "Automatic promotion is being resumed.",
    "approve": "You approved: the new version is being promoted.",
    "reject": "You rejected: the champion stays.",
    "already": "This form had been sent before. Nothing was started a second time.",
}
_RUN = re.compile(r"[\w.~:+-]{1,250}", re.ASCII)


@dataclass(frozen=True)
class Done:
    """What was just done, and the run that does it."""

    said: str
    run: Run


@router.get("/{act}")
def show(request: Request, use_case: UseCaseDep, act: ActDep) -> HTMLResponse:
    """The form of an act."""
    given = dict(request.query_params)
    return _page(request, use_case, forms.form(use_case, act, _facts(use_case, act, given), given, sent=False))


@router.post("/{act}", dependencies=[Depends(from_our_own_page)])
async def carry_out(request: Request, use_case: UseCaseDep, act: ActDep) -> Response:
    """Do it, and lead to the use case's page; or show the form again with what is wrong, or why Airflow refuses."""
    # Only the call waits, and it needs a thread of Airflow's pool: what holds one meanwhile could block all.
    given = {name: value for name, value in (await request.form()).items() if isinstance(value, str)}
    form = await run_in_threadpool(_sent, use_case, act, given)
    if form.call is None:
        return _page(request, use_case, form, 409 if form.blocked else 422)
    path = f"/dags/{use_case.name}.{form.call.pipeline}{form.call.path}"
    answer = await airflow_rest.call(request, form.call.method, path, form.call.body)
    done = given["choice"].lower() if act == "answer" else act
    if answer.status_code == 409 and act != "answer":
        done = "already"
    elif not answer.is_success:
        return await run_in_threadpool(_refused, request, use_case, form, answer, given)
    query = urlencode({"done": done, "of": form.call.pipeline, "run": form.call.run})
    return RedirectResponse(f"{root(request)}/use_cases/{use_case.name}?{query}", 303)


def done(use_case: UseCase, query: Mapping[str, str]) -> Done | None:
    """What the address of the use case's page says was just done; None: nothing, or there is no such run."""
    said, run_id, of = _DONE.get(query.get("done", "")), query.get("run", ""), query.get("of", "")
    if said is None or of not in ("training", "champion") or not _RUN.fullmatch(run_id):
        return None
    run = airflow_state.run(f"{use_case.name}.{of}", run_id)
    return Done(said, run) if run else None


def _sent(use_case: UseCase, act: Act, given: Mapping[str, str]) -> Form:
    return forms.form(use_case, act, _facts(use_case, act, given), given, sent=True)


def _facts(use_case: UseCase, act: Act, given: Mapping[str, str]) -> Facts:
    """What holds now: read for every form anew."""
    table = use_case.tables.ledger
    held = ledger.from_rows(lake_cache.records([table])[table])
    pipelines = airflow_state.pipelines([use_case.name])[use_case.name]
    if act != "answer":
        return Facts(held, pipelines)
    run, waiting = given.get("run"), airflow_state.approvals([use_case.name]).get(use_case.name, [])
    asked = next((each for each in waiting if run in (None, each.run.id)), None)
    answered = airflow_state.answer(f"{use_case.name}.training", run) if run and asked is None else None
    return Facts(held, pipelines, asked, (run, answered) if run and answered else None)


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
    request: Request, use_case: UseCase, form: Form, answer: httpx.Response, given: Mapping[str, str]
) -> HTMLResponse:
    """Airflow's refusal: what can be mended brings the form back, the rest is a page that says why."""
    said = error_detail(answer, f"Airflow answered {answer.status_code}.")
    if answer.status_code == 409:  # Somebody answered in between: the form now says who.
        return _page(request, use_case, _sent(use_case, form.act, given), 409)
    if answer.status_code in (400, 422):
        return _page(request, use_case, replace(form, problems=[f"Airflow did not take it: {said}"]), 422)
    raise HTTPException(503 if answer.status_code >= 500 else answer.status_code, said)
